"""A SLURM cluster of one node, of its own daemons, in a folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

#: Debian's packages, and the programs that the cluster is made of
PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun")

CONFIGURATION = """\
ClusterName=sparsight
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
# Both listen on that address only, not on all that the machine has.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# Works without control groups, which a container cannot make.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
# There is no database that sacct could ask.
AccountingStorageType=accounting_storage/none
# Memory is measured every second, and a job above its own is killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# So is a job above its time, after so many seconds in which it may end by itself.
OverTimeLimit=0
KillWait=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0
ReturnToService=2
# Jobs that ended are remembered for a day, for tests to ask about.
MinJobAge=86400
# What no node can run is refused, and does not wait for ever.
EnforcePartLimits=ANY
# The node has what is written here, whatever the machine has: two jobs run beside one that hangs.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=3 RealMemory=12500 Gres=gpu:3 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
#: devices that are none stand for GPUs: SLURM gives them away, and tells jobs nothing of them
GPUS = "".join(f"Name=gpu File=/dev/{name} Flags=no_gpu_env\n" for name in ("null", "zero", "full"))
#: read even where no control groups are used; 22.05 knows no `disabled`
CONTROL_GROUPS = "CgroupPlugin=cgroup/v1\n"
#: SLURM's commands that the plugin calls. Inside of jobs it first drops SLURM's variables, the one
#: that names the configuration too, so that each command gets that one from a wrapper.
COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
WRAPPER = """\
#!/bin/sh
SLURM_CONF={configuration} exec {program} "$@"
"""


def reason_against() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "a SLURM cluster is started by root only"
    if missing_programs() and not Path("/etc/debian_version").exists():
        return "SLURM is installed from Debian's packages, and this is no Debian"
    return None


def missing_programs() -> list[str]:
    """Programs of the cluster that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def install() -> None:
    """Install Debian's packages; `CalledProcessError` where they cannot be had."""
    # With this run level, no daemon is started after its installation.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(
            ["apt-get", "-q", *arguments],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """One node with three CPUs and 12.5 GB in the books."""

    def __init__(self) -> None:
        # Short, since the path of a socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.daemons: list[subprocess.Popen[bytes]] = []

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment `given`, in which SLURM's commands talk to this cluster, without CUDA."""
        return {
            **given,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{given['PATH']}",
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "CUDA_VISIBLE_DEVICES": "",
        }

    def start(self) -> None:
        """Start the daemons and wait until the node is idle."""
        self._write_configuration()
        munge = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log")]
        munge += [f"--seed-file={self.folder}/munge.seed", f"--socket={self.folder}/munge.socket"]
        self._start_daemon("munged", "--foreground", *munge)
        self._wait_for("the socket of munged", (self.folder / "munge.socket").exists)
        self._start_daemon("slurmctld", "-D")
        self._start_daemon("slurmd", "-D")
        self._wait_for("an idle node", lambda: self.ask("sinfo", "-h", "-o", "%T") == "idle")

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands prints; nothing where it fails."""
        environment = self.environment(os.environ)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def listed(self, fields: str) -> list[str]:
        """A line of these fields for each job, ended ones too, in the order of submission."""
        listed = self.ask("squeue", "-h", "--states=all", "--sort=i", "-o", fields)
        return listed.splitlines()

    def jobs(self, rule: str, *wildcards: str) -> list[str]:
        """SLURM's identifiers of all attempts at a job, in their order; by the plugin's comment."""
        wanted = "_".join(["rule", rule, "wildcards", *wildcards])
        pairs = (line.split(maxsplit=1) for line in self.listed("%i %k"))
        return [job for job, comment in pairs if comment == wanted]

    def facts(self, job: str) -> dict[str, str]:
        """What `scontrol` says of a job."""
        words = self.ask("scontrol", "-o", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def stop(self) -> None:
        """End all jobs and daemons, and remove their folder."""
        if len(self.daemons) == 3:
            self.ask("scancel", "--user=root")
            self._wait_for("jobs to end", lambda: self.ask("squeue", "-h") == "", needed=False)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
        shutil.rmtree(self.folder)

    def _write_configuration(self) -> None:
        """Write all that the daemons read."""
        # munged wants a folder that others may look into, and a key that they may not.
        self.folder.chmod(0o755)
        (self.folder / "munge.key").touch(mode=0o600)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        configuration = CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            folder=self.folder,
            controller_port=free_port(),
            node_port=free_port(),
        )
        (self.folder / "slurm.conf").write_text(configuration, encoding="utf-8")
        (self.folder / "gres.conf").write_text(GPUS, encoding="utf-8")
        (self.folder / "cgroup.conf").write_text(CONTROL_GROUPS, encoding="utf-8")
        for name in COMMANDS:
            wrapper = self.folder / "bin" / name
            text = WRAPPER.format(
                configuration=self.folder / "slurm.conf", program=shutil.which(name)
            )
            wrapper.write_text(text, encoding="utf-8")
            wrapper.chmod(0o755)

    def _start_daemon(self, *command: str) -> None:
        """Start a daemon in a session of its own; it ends when the tests do, however they end."""
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=self.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.daemons.append(process)

    def _wait_for(self, what: str, is_so: Callable[[], bool], needed: bool = True) -> None:
        """Wait two minutes at most; the error shows how the daemons' logs end."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if is_so():
                return
            time.sleep(0.2)
        if needed:
            logs = sorted(self.folder.glob("*.log"))
            ends = [f"{log.name}: {log.read_text(encoding='utf-8')[-1500:]}" for log in logs]
            raise TimeoutError("\n".join([f"waited in vain for {what}", *ends]))
