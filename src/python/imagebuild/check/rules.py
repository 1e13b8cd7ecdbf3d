"""The one table of rules. Those that `docker build --check` has have the names that they have there."""

from __future__ import annotations

from typing import Dict, Tuple, Type

from imagebuild.check import argument_rules, copy_rules, setting_rules, stage_rules, text_rules
from imagebuild.check.finding import Rule, from_errors_only
from imagebuild.errors import (
    DockerfileError,
    DockerfileSyntaxError,
    DuplicateStageNameError,
    ExpansionError,
    ImageBuildError,
    OutsideContextError,
    PlatformMissingError,
    ReservedStageNameError,
    SourceNotInContextError,
    UndefinedStageError,
    UnknownInstructionError,
    UnsupportedFlagError,
)

BUILDKIT_RULES: Tuple[Rule, ...] = (
    Rule("StageNameCasing", text_rules.stage_name_casing),
    Rule("FromAsCasing", text_rules.from_as_casing),
    Rule("NoEmptyContinuation", text_rules.no_empty_continuation),
    Rule("ConsistentInstructionCasing", text_rules.consistent_instruction_casing),
    Rule("DuplicateStageName", from_errors_only, errors=(DuplicateStageNameError,)),
    Rule("ReservedStageName", text_rules.reserved_stage_name, errors=(ReservedStageNameError,)),
    Rule("JSONArgsRecommended", setting_rules.json_args_recommended),
    Rule("MaintainerDeprecated", text_rules.maintainer_deprecated),
    Rule("UndefinedArgInFrom", stage_rules.undefined_arg_in_from),
    Rule("WorkdirRelativePath", setting_rules.workdir_relative_path),
    Rule("UndefinedVar", argument_rules.undefined_var),
    Rule("MultipleInstructionsDisallowed", setting_rules.multiple_instructions_disallowed),
    Rule("LegacyKeyValueFormat", argument_rules.legacy_key_value_format),
    Rule(
        "InvalidBaseImagePlatform",
        stage_rules.invalid_base_image_platform,
        errors=(PlatformMissingError,),
    ),
    Rule("RedundantTargetPlatform", stage_rules.redundant_target_platform),
    Rule("SecretsUsedInArgOrEnv", argument_rules.secrets_used_in_arg_or_env),
    Rule("InvalidDefaultArgInFrom", stage_rules.invalid_default_arg_in_from),
    Rule("FromPlatformFlagConstDisallowed", stage_rules.from_platform_flag_const_disallowed),
    Rule("CopyIgnoredFile", copy_rules.copy_ignored_file),
    Rule(
        "InvalidDefinitionDescription",
        text_rules.invalid_definition_description,
        experimental=True,
    ),
    Rule("ExposeProtoCasing", setting_rules.expose_proto_casing),
    Rule("ExposeInvalidFormat", setting_rules.expose_invalid_format),
)

OWN_RULES: Tuple[Rule, ...] = (
    Rule(
        "CopySourceNotFound",
        copy_rules.copy_source_not_found,
        errors=(SourceNotInContextError,),
    ),
    Rule("InvalidCheckDirective", from_errors_only),
    Rule("InvalidInstruction", from_errors_only, errors=(DockerfileError, ImageBuildError)),
    Rule("InvalidSubstitution", from_errors_only, errors=(ExpansionError,)),
    Rule("OutsideContext", from_errors_only, errors=(OutsideContextError,)),
    Rule("SyntaxError", from_errors_only, errors=(DockerfileSyntaxError,)),
    Rule("UndeclaredBuildArg", argument_rules.undeclared_build_arg),
    Rule("UndefinedStage", stage_rules.unknown_stage, errors=(UndefinedStageError,)),
    Rule("UnknownFlag", from_errors_only, errors=(UnsupportedFlagError,)),
    Rule("UnknownInstruction", from_errors_only, errors=(UnknownInstructionError,)),
    Rule("UnusedArg", argument_rules.unused_arg),
)

RULES: Tuple[Rule, ...] = (*BUILDKIT_RULES, *OWN_RULES)

RULE_OF_ERROR: Dict[Type[ImageBuildError], str] = {
    cls: rule.name for rule in RULES for cls in rule.errors
}

INVALID_CHECK_DIRECTIVE = "InvalidCheckDirective"
