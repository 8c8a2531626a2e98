#!/usr/bin/env bash
# One day's run for cron: `run-daily.sh 2026-11-26`. Its exit code tells cron's mail what to think of it.
set -uo pipefail
day=${1:?give the day, for example 2026-11-26}
tekizai=${TEKIZAI:-.venv/bin/tekizai}

"$tekizai" run daily.yaml --set "DS=$day" 2>>"daily-$day.log"
code=$?
case $code in
  0) exit 0 ;;                                              # done, or done before: no mail
  1) say="failed, or held by another run: the same command goes on where it stopped" ;;
  2) say="the job file, its arguments or its input are wrong: only input that is still to come mends itself" ;;
  3) say="done, but too many dead letters: look at dead_letters-* before anything uses the labels" ;;
  *) say="ended in a way of its own" ;;
esac
echo "daily-reviews of $day: $say (exit code $code)" >&2
tail -n 20 "daily-$day.log" >&2
exit "$code"
