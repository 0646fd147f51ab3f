# Owns the processes and the folder of one server. Reads one command a line and answers each with one line;
# the first answer, unasked, is the folder. When its input ends, because the owner let go or died in whatever
# way, it ends what it started, newest first, and removes the folder.
#
#   start NAME COMMAND...   runs the shell words in the background, output to FOLDER/NAME.log; answers the pid
#   wait NAME               waits until it has ended; answers its status
prefix=$1 endings=$2
names=
trap '' HUP INT TERM PIPE
cd / && folder=$(mktemp -d "${TMPDIR:-/tmp}/$prefix.XXXXXX") || exit 1
echo "$folder"

while read -r verb name command; do
    case $verb in
    start)
        (trap - HUP INT TERM PIPE; eval "exec $command") </dev/null >>"$folder/$name.log" 2>&1 &
        eval "pid_$name=\$!"
        names="$name $names"
        echo "$!"
        ;;
    wait)
        # A pid that has been waited for may be another's the next moment: forget it.
        eval "pid=\$pid_$name; pid_$name="
        wait "$pid"
        echo "$?"
        ;;
    esac
done

for name in $names; do
    eval "pid=\$pid_$name; pid_$name="
    [ -n "$pid" ] || continue
    kill -s CONT "$pid"
    for ending in $endings; do
        kill -s "$ending" "$pid"
    done
    wait "$pid"
done
# A helper of a killed server may still be writing for a moment.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$folder" && break
    sleep 0.2
done
