# Turn each page of plain text into HTML: the first line is the title, an empty line ends a paragraph.
set -eu
pages=$1 out=$2
mkdir -p "$out"
for page in "$pages"/*.txt; do
    name=$(basename "$page" .txt)
    {
        echo "<!doctype html><title>$(head -n 1 "$page")</title>"
        awk 'NR == 1 { print "<h1>" $0 "</h1><p>"; next } /^$/ { print "</p><p>"; next } { print } END { print "</p>" }' "$page"
    } > "$out/$name.html"
done
echo "rendered $(ls "$out" | wc -l) pages"
