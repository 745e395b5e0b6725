# Prints what Tab offers in zsh, one word per line. Usage: zsh -f zsh-complete.zsh SCRIPT LINE

zmodload zsh/zpty
setup=$(mktemp)
trap 'rm -f $setup' EXIT
cat >$setup <<'END'
PROMPT='' RPROMPT=''
autoload -Uz compinit && compinit -u -D
source $SCRIPT
compadd() {
  local -a words
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
    builtin compadd -A words "$@"
    print -rl -- "offered:"${^words}
  fi
  builtin compadd "$@"
}
report-end() { print -r -- 'end of the offer' }
zle -N report-end
bindkey '^I' complete-word
bindkey '^B' report-end
# The line editor reads keys only from here on.
zle-line-init() { print -r -- 'ready' }
zle -N zle-line-init
END

# Reads what the shell prints until it holds a text.
output=''
read_until() {
  local part
  repeat 200; do
    while zpty -r -t shell part; do output+=$part; done
    [[ $output == *$1* ]] && return
    sleep 0.05
  done
  print -r -- "$output" | cat -v >&2
  exit 1
}

zpty shell TERM=dumb zsh -f -i
zpty -w shell "SCRIPT=${(q)1}; source $setup"
read_until ready
zpty -w -n shell "$2"$'\t\x02'
read_until 'end of the offer'
print -r -- "$output" | tr -d '\r' | sed -n 's/.*offered://p' | sort -u
