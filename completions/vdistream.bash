# bash completion for vdistream

_vdistream() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words='' paths=''
  # bash splits --option=value at the equals sign.
  if [[ $current == = ]]; then
    current=''
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if ((COMP_CWORD == 1)); then
    command=''
  fi
  case $command:$previous in
    *:--disk) return ;;
    *:--manifest) words='require if-present ignore' ;;
    *:--sha256) return ;;
    *:--glance) return ;;
    *:--glance-version) words='1 2' ;;
    *:--headers) paths=-f ;;
    *:--ca) paths=-f ;;
    *:--staging) paths=-d ;;
    *:--cache) paths=-d ;;
    *:--cache-size) return ;;
    *:--inflate) words='auto isal zlib node zlib-sync' ;;
    *:--log) paths=-f ;;
    *:--zero) words='auto assume-zero write' ;;
    write:--force | import:--force) words='parent type busy size vhd content' ;;
    *:--virtual-size) return ;;
    verify:--force) words='parent type size' ;;
    *:--sr) return ;;
    *:--name) return ;;
    *:--device) paths=-f ;;
    *:--list) paths=-f ;;
    *:--jobs) return ;;
    *:--xe) paths=-f ;;
    *:--xe-timeout) return ;;
    *:--xapi) return ;;
    *:--credentials) paths=-f ;;
    *:--fingerprint) return ;;
    *:--output) paths=-f ;;
    *:--format) words='vhd fixed-vhd raw' ;;
    *:--container) words='none tar ova' ;;
    *:--compress) return ;;
    *:--block-size) return ;;
    *:--align) words='512 4096' ;;
    export:--force) words='content parent' ;;
    *:--property) return ;;
    *:--visibility) words='private shared community public' ;;
    *:--store) return ;;
    *:--glance-formats) return ;;
    upload:--force) words='parent' ;;
    :*) words='info check write verify import export upload reap help completion --help --version' ;;
    help:*) words='info check write verify import export upload reap sources many pool' ;;
    completion:*) words='bash zsh fish' ;;
    info:*) words='--quick --disk --raw --raw-base --manifest --strict --sha256 --glance --glance-version --headers --ca --staging --cache --cache-size --inflate --log --json --quiet -q --help' paths=-f ;;
    check:*) words='--disk --raw --raw-base --manifest --strict --sha256 --glance --glance-version --headers --ca --staging --cache --cache-size --inflate --log --json --quiet -q --help' paths=-f ;;
    write:*) words='--verify --zero --zero-tail --dry-run --force --disk --raw --raw-base --manifest --strict --sha256 --virtual-size --glance --glance-version --headers --ca --staging --cache --cache-size --inflate --log --json --quiet -q --help' paths=-f ;;
    verify:*) words='--force --disk --raw --raw-base --manifest --strict --sha256 --virtual-size --glance --glance-version --headers --ca --staging --cache --cache-size --inflate --log --json --quiet -q --help' paths=-f ;;
    import:*) words='--sr --name --raw-vdi --device --all-disks --list --jobs --again --verify --zero --dry-run --force --xe --xe-timeout --xapi --credentials --fingerprint --disk --raw --raw-base --manifest --strict --sha256 --virtual-size --glance --glance-version --headers --ca --staging --cache --cache-size --inflate --log --json --quiet -q --help' paths=-f ;;
    export:*) words='--output -o --format --container --compress --block-size --align --single-pass --name --verify --force --xe --xe-timeout --raw --raw-base --headers --ca --log --json --quiet -q --help' ;;
    upload:*) words='--format --container --compress --block-size --create --property --visibility --store --as-is --glance-formats --name --force --xe --xe-timeout --raw --raw-base --glance --glance-version --headers --ca --log --json --quiet -q --help' ;;
    reap:*) words='--sr --dry-run --xe --xe-timeout --log --json --quiet -q --help' ;;
  esac
  if [[ -n $paths && ($current != -* || -z $words) ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$paths" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}

complete -F _vdistream vdistream
