# Post a Markdown file on a pull request, or replace the comment that this script posted before:
#   sh tools/post_comment.sh FILE NUMBER
# It needs gh, logged in or with GH_TOKEN. The first line of the file is a hidden mark that finds
# the earlier comment. GITHUB_REPOSITORY names the repository if it is not the current one.
set -eu

file=$1
number=$2
repository=${GITHUB_REPOSITORY:-$(gh repo view --json nameWithOwner --jq .nameWithOwner)}
MARK=$(head -n 1 "$file")
export MARK
earlier=$(gh api --paginate "repos/$repository/issues/$number/comments" \
    --jq '.[] | select(.body | startswith(env.MARK)) | .id' | head -n 1)
if [ -n "$earlier" ]; then
    gh api --silent --method PATCH "repos/$repository/issues/comments/$earlier" -F "body=@$file"
else
    gh api --silent --method POST "repos/$repository/issues/$number/comments" -F "body=@$file"
fi
