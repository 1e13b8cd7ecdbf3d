"""The executor as a resident process of Pants' daemon."""
