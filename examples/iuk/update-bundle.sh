#!/bin/sh
# Commit what is in tool/ to the repository in tool.bundle: update-bundle.sh DATE TAG MESSAGE
set -eu
cd "$(dirname "$0")"
date=$1 tag=$2 message=$3
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
if [ -e tool.bundle ]; then
  git clone -q --branch main tool.bundle "$clone/iuk"
  git -C "$clone/iuk" rm -rq .
else
  git init -q --initial-branch=main "$clone/iuk"
fi
cp -a tool/. "$clone/iuk"
find "$clone/iuk" -name __pycache__ -exec rm -rf {} +
git -C "$clone/iuk" add --all
export GIT_AUTHOR_DATE="$date" GIT_COMMITTER_DATE="$date"
export GIT_AUTHOR_NAME="Example" GIT_AUTHOR_EMAIL="example@example.org"
export GIT_COMMITTER_NAME="Example" GIT_COMMITTER_EMAIL="example@example.org"
git -C "$clone/iuk" commit -q --message "$message"
git -C "$clone/iuk" tag "$tag"
git -C "$clone/iuk" bundle create -q "$PWD/tool.bundle" --branches --tags
