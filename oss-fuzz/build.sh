#!/usr/bin/env bash
# What OSS-Fuzz runs in its container: puts into $OUT a program for each target, its corpus as an archive, its dictionary.
set -euo pipefail

tools/fuzz --build "$OUT"
for corpus in "$OUT"/*_seed_corpus; do
    (cd "$corpus" && zip -q -r "$corpus.zip" .)
    rm -r "$corpus"
done
