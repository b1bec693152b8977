# Post a Markdown file on a pull request, in place of what this script posted there before:
#   sh tools/post_comment.sh FILE NUMBER
# It needs gh, logged in or with GH_TOKEN. The first line of the file is the hidden mark by which
# the earlier comment is found; GITHUB_REPOSITORY names another repository than the current one.
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
