#!/bin/sh
# A Slurm of one node on this machine, all of whose files are in one folder.
#
#   tests/slurm/cluster.sh start FOLDER
#   tests/slurm/cluster.sh stop FOLDER
#
# Needs Debian's slurm-wlm and munge, and root, as whom jobs run. The node has two cards that are none:
# jobs ask for them and are given their numbers. /etc/slurm gets links to its settings, since Snakemake's
# executor forgets SLURM_CONF within a job; a Slurm that is set up there already is left alone.
set -eu

if [ $# -ne 2 ]; then
	sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
for program in munged slurmctld slurmd; do
	PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || {
		echo "$program is not installed: apt-get install slurm-wlm munge" >&2
		exit 1
	}
done
PATH="$PATH:/usr/sbin"
folder=$(mkdir -p "$2" && cd "$2" && pwd)

start() {
	if [ -e /etc/slurm/slurm.conf ]; then
		echo "/etc/slurm/slurm.conf is there already: stop that Slurm first" >&2
		exit 1
	fi
	# munged refuses a socket or key in a folder that others could change
	chmod 755 "$folder"
	install -d -o munge -g munge -m 755 "$folder/munge"
	head -c 1024 /dev/urandom >"$folder/munge/key"
	chown munge:munge "$folder/munge/key"
	chmod 400 "$folder/munge/key"
	setpriv --reuid munge --regid munge --clear-groups munged \
		--key-file="$folder/munge/key" --socket="$folder/munge/socket" \
		--pid-file="$folder/munge/pid" --log-file="$folder/munge/log" \
		--seed-file="$folder/munge/seed"
	# a scheduler that looks at once, and remembers finished jobs until they are asked for
	cat >"$folder/slurm.conf" <<-EOF
		ClusterName=one
		SlurmctldHost=$(hostname -s)
		SlurmUser=root
		AuthType=auth/munge
		AuthInfo=socket=$folder/munge/socket
		CredType=cred/munge
		SlurmctldPort=16817
		SlurmdPort=16818
		SlurmctldPidFile=$folder/slurmctld.pid
		SlurmdPidFile=$folder/slurmd.pid
		SlurmctldLogFile=$folder/slurmctld.log
		SlurmdLogFile=$folder/slurmd.log
		StateSaveLocation=$folder/state
		SlurmdSpoolDir=$folder/spool
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core_Memory
		SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
		JobAcctGatherType=jobacct_gather/linux
		JobAcctGatherFrequency=task=2
		AccountingStorageType=accounting_storage/none
		MinJobAge=3600
		KillWait=5
		ReturnToService=2
		GresTypes=gpu
		NodeName=$(hostname -s) Gres=gpu:2 CPUs=$(nproc --all) RealMemory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.95)}' /proc/meminfo)
		PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
	EOF
	printf 'Name=gpu File=/dev/%s\n' null zero >"$folder/gres.conf"
	mkdir -p "$folder/state" "$folder/spool" /etc/slurm
	ln -s "$folder/slurm.conf" "$folder/gres.conf" /etc/slurm/
	slurmctld
	slurmd
	for _ in $(seq 60); do
		sinfo --noheader --format=%t 2>/dev/null | grep -q '^idle' && return
		sleep 0.5
	done
	echo "the node is not idle after 30 s: see $folder/slurmctld.log and slurmd.log" >&2
	exit 1
}

stop() {
	if [ "$(readlink /etc/slurm/slurm.conf)" = "$folder/slurm.conf" ]; then
		scancel --partition=main 2>/dev/null && sleep 2 || true  # what a check that failed leaves
	fi
	for daemon in slurmd slurmctld munge/; do
		pid="$folder/${daemon%/}.pid"
		[ "$daemon" = munge/ ] && pid="$folder/munge/pid"
		if [ -f "$pid" ] && number=$(cat "$pid") && kill "$number" 2>/dev/null; then
			# until it has written its state: the folder may be deleted then
			for _ in $(seq 100); do
				kill -0 "$number" 2>/dev/null || break
				sleep 0.1
			done
		fi
	done
	for name in slurm.conf gres.conf; do
		[ "$(readlink "/etc/slurm/$name")" = "$folder/$name" ] && rm "/etc/slurm/$name" || true
	done
}

case $1 in
start) start ;;
stop) stop ;;
*) echo "start or stop, not $1" >&2 && exit 2 ;;
esac
