#!/usr/bin/env bash
# gemmscope under real launchers, on this machine alone: Slurm (a controller and two node daemons on the loopback) and
# Open MPI. Needs gemmscope in the environment that is active, and root, for munge's key and Slurm's daemons.
# What is missing of slurm-wlm, munge and openmpi-bin is installed by apt-get; where that cannot be it says so, and what
# it was that was not tried. Takes about a minute.
set -euo pipefail

skip() { printf 'SKIPPED: Slurm and Open MPI were not tried here: %s\n' "$1"; exit 0; }

[ "$(uname)" = Linux ] || skip "Slurm's daemons run on Linux"
[ "$(id -u)" = 0 ] || skip "Slurm's daemons and munge need root"
missing=
for pair in slurmctld:slurm-wlm slurmd:slurm-wlm munged:munge mpirun:openmpi-bin; do
  command -v "${pair%%:*}" >/dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || skip "missing are$missing, and there is no apt-get"
  # Neither is to start by itself, nor to stop the installation where no daemon can be started.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  # shellcheck disable=SC2086  (several packages)
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing; } >/dev/null 2>&1 ||
    skip "missing are$missing, and apt-get cannot install them"
fi
export PATH=$PATH:/usr/sbin

work=$(mktemp -d)
chmod 755 "$work"
daemons=()
finish() {
  for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# Everything of Slurm's and munge's is in a folder of its own: nothing of the machine's configuration is read or written.
mkdir -m 711 "$work/munge" && mkdir "$work/state" "$work/log" "$work/spool.n1" "$work/spool.n2"
head -c 1024 /dev/urandom >"$work/munge/key" && chmod 400 "$work/munge/key"
chown -R munge: "$work/munge"
setpriv --reuid munge --regid munge --clear-groups munged --foreground --key-file "$work/munge/key" \
  --socket "$work/munge/socket" --pid-file "$work/munge/pid" --log-file "$work/munge/log" --seed-file "$work/munge/seed" \
  2>"$work/log/munged" & daemons+=($!)
host=$(hostname -s)
processors=$(nproc)
cat >"$work/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=17000
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool.%n
SlurmctldPidFile=$work/ctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
SlurmctldLogFile=$work/log/ctld
SlurmdLogFile=$work/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
MpiDefault=none
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=$processors RealMemory=1000
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
export SLURM_CONF=$work/slurm.conf
for _ in $(seq 50); do [ -S "$work/munge/socket" ] && break; sleep 0.1; done
slurmctld -D 2>/dev/null & daemons+=($!)
for node in n1 n2; do slurmd -D -N $node 2>/dev/null & daemons+=($!); done
ready() { [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ]; }
for _ in $(seq 200); do ready && break; sleep 0.1; done
ready || { tail -n 20 "$work"/log/* "$work/munge/log"; echo "FAILED: Slurm did not start" >&2; exit 1; }

cd "$work"
step() { printf -- '-- %s (%s s)\n' "$1" "$SECONDS"; }
want() { # want FILE TEXT: the file has the text
  grep -qF -- "$2" "$1" || { echo "FAILED: expected in $1: $2" >&2; cat "$1" >&2; exit 1; }
}

step "srun, two nodes of one host: each has a folder of its own, and the report says that they shared processors"
run="gemmscope run --sizes 64 --backends numpy-cpu --sets 3 --seconds 5"
srun -N2 --ntasks-per-node=1 $run --out slurm >slurm.out 2>slurm.err || { cat slurm.out slurm.err; exit 1; }
test -f slurm/n1-0/results.json && test -f slurm/n2-1/results.json || { find slurm; cat slurm.err; exit 1; }
want slurm.err "n2 rank 1: results in slurm/n2-1"
gemmscope compare --fleet slurm --html slurm.html --json >slurm.json
python - <<'CHECK'
import json
fleet = json.load(open("slurm.json"))
assert [one["label"] for one in fleet["members"]] == ["n1", "n2"], fleet["members"]
assert {one["member"] for one in fleet["deviations"]} == {0, 1}, fleet["deviations"]
assert any("was measuring on the same processors at the same time" in text for text in fleet["warnings"]), fleet["warnings"]
CHECK
want slurm.html "was measuring on the same processors"

step "srun without a folder: all ranks agree on one, named by job and step"
srun -N2 --ntasks-per-node=1 $run >/dev/null 2>agreed.err || { cat agreed.err; exit 1; }
gemmscope compare --fleet gemmscope-results/slurm-* >/dev/null

step "srun, a fleet: two ranks of one node take a processor each"
[ "$processors" -ge 2 ] && srun -N1 --ntasks=2 gemmscope fleet --devices cpu:0,cpu:1 --seconds 6 --sets 3 --out share \
  >share.out 2>share.err || { cat share.out share.err; exit 1; }
gemmscope compare --fleet share --json >share.json
python - <<'CHECK'
import json
fleet = json.load(open("share.json"))
assert sorted(one["device"] for one in fleet["members"]) == ["cpu:0", "cpu:1"], fleet["members"]
assert not fleet["simultaneous"]
CHECK

step "mpirun: ranks of one host, told apart by their number"
mpirun --allow-run-as-root --oversubscribe -np 2 --bind-to none $run --out mpi >mpi.out 2>mpi.err || { cat mpi.out mpi.err; exit 1; }
test -f "mpi/$host-0/results.json" && test -f "mpi/$host-1/results.json" || { find mpi; cat mpi.err; exit 1; }
gemmscope compare --fleet mpi >mpi.txt
want mpi.txt "$host rank 1"

step "done"
