# Greet someone in every language that there is a phrase for.
set -eu
for phrase in /usr/local/share/hello/*.txt; do
    printf '%s: %s\n' "$(basename "$phrase" .txt)" "$(sed "s/NAME/$1/" "$phrase")"
done
