#!/usr/bin/env bash
# A whole Slurm on this one machine, on loopback only and without systemd: a controller and three
# nodes (c1 and c2 of four processors, g1 with two pretended GPUs besides). For tests; needs root
# and Debian or Ubuntu.
#
#   cluster.sh install            Debian's packages (10 s, 13 MB); nothing is started by them
#   cluster.sh start FOLDER       configuration, state and logs go into FOLDER
#   cluster.sh crash FOLDER NODE  end a node as a power cut would: its daemon and all its jobs
#   cluster.sh boot FOLDER NODE   bring it back
#   cluster.sh stop FOLDER
set -euo pipefail

PACKAGES="slurmctld slurmd slurm-client munge"
NODES="c1 c2 g1"

install_packages() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then  # without it the packages would start their services
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $PACKAGES
}

configure() {
    mkdir -p "$base"/{etc,state,log,run,spool,dev}
    host=$(hostname -s)
    # A null device passes for a GPU: Slurm wants a device file, and hands it out exclusively.
    for n in 0 1; do
        [ -e "$base/dev/nvidia$n" ] || mknod -m 666 "$base/dev/nvidia$n" c 1 3
    done
    cat >"$base/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# How long a requeued job waits before it starts again; two minutes unless set.
AuthInfo=cred_expire=10
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SrunPortRange=26000-26999
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=5
MinJobAge=300
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=1
StateSaveLocation=$base/state
SlurmdSpoolDir=$base/spool/%n
SlurmctldPidFile=$base/run/slurmctld.pid
SlurmdPidFile=$base/run/slurmd.%n.pid
SlurmctldLogFile=$base/log/slurmctld.log
SlurmdLogFile=$base/log/slurmd.%n.log
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$base/log/jobcomp.txt
NodeName=c1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16821 CPUs=4 RealMemory=16000
NodeName=c2 NodeHostname=$host NodeAddr=127.0.0.1 Port=16822 CPUs=4 RealMemory=16000
NodeName=g1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16823 CPUs=4 RealMemory=16000 Gres=gpu:2
PartitionName=all Nodes=c1,c2,g1 Default=YES MaxTime=7-0 DefaultTime=5 State=UP
CONF
    echo "NodeName=g1 Name=gpu File=$base/dev/nvidia[0-1]" >"$base/etc/gres.conf"
    # Jobs find the configuration only here: the plugin takes SLURM_CONF out of their environment.
    ln -sf "$base/etc/slurm.conf" "$base/etc/gres.conf" /etc/slurm/
}

idle_nodes() {
    sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l
}

start() {
    if [ -e /etc/slurm/slurm.conf ]; then
        echo "this machine has a /etc/slurm/slurm.conf already; not touching it" >&2
        exit 1
    fi
    command -v slurmctld >/dev/null && command -v munged >/dev/null || install_packages
    configure
    install -d -o munge -g munge -m 0755 /run/munge
    su -s /bin/sh munge -c \
        "/usr/sbin/munged --pid-file=/run/munge/munged.pid --log-file=/run/munge/munged.log"
    /usr/sbin/slurmctld
    for node in $NODES; do /usr/sbin/slurmd -N "$node"; done
    for _ in $(seq 200); do
        [ "$(idle_nodes)" = 3 ] && return
        sleep 0.1
    done
    sinfo -N >&2
    echo "the nodes did not come up; see $base/log" >&2
    exit 1
}

# The process and all below it, parents first.
family() {
    echo "$1"
    for child in $(ps -o pid= --ppid "$1"); do family "$child"; done
}

# A step daemon is no child of its node's daemon: both carry the node's name.
crash() {
    pids=$(cat "$base/run/slurmd.$1.pid")
    for step in $(pgrep -x slurmstepd || true); do
        log=$(readlink -f /proc/"$step"/fd/* 2>/dev/null | grep -c "slurmd.$1.log" || true)
        [ "$log" = 0 ] || pids="$pids $(family "$step")"
    done
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true
    rm -f "$base/run/slurmd.$1.pid"
}

stop() {
    for node in $NODES; do [ ! -e "$base/run/slurmd.$node.pid" ] || crash "$node"; done
    for file in "$base/run/slurmctld.pid" /run/munge/munged.pid; do
        [ ! -e "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
    done
    rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
}

case "${1:-}" in
    install) install_packages ;;
    start) base=$2; start ;;
    crash) base=$2; crash "$3" ;;
    boot) base=$2; /usr/sbin/slurmd -N "$3" ;;
    stop) base=$2; stop ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac
