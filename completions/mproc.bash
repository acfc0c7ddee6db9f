# Completion of mproc for bash: made from the tables of options in lua/mproc/cli.
_mproc() {
  local word=${COMP_WORDS[COMP_CWORD]} words
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='map filter reduce run worker top trace report --help --version'
  else
    case ${COMP_WORDS[1]} in
      map) words='--jobs -j --field-separator -F --file -f --load -l --begin --null -z --unordered -u --block --keep-going --timeout --retries --progress --blocks -B --help -h' ;;
      filter) words='--jobs -j --field-separator -F --file -f --load -l --begin --null -z --unordered -u --block --keep-going --timeout --retries --progress --count -c --invert -v --help -h' ;;
      reduce) words='--jobs -j --field-separator -F --file -f --load -l --begin --null -z --unordered -u --block --keep-going --timeout --retries --progress --with --init --help -h' ;;
      run) words='--jobs -j --keep-order -k --ungrouped -u --null -z --raw --tag --dry-run --fail-fast --joblog --resume --retries --timeout --progress --help -h' ;;
      worker) words='--jobs -j --allow --begin --version --grace --lease --prefetch --check --help -h' ;;
      top) words='--once --json --delay -d --sort --help -h' ;;
      trace) words='--help -h' ;;
      report) words='--text --help -h' ;;
    esac
    [[ $word == -* ]] || return 0
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _mproc mproc
