

# Completes the last of several names, between commas or after an @.
# $1: the names, $2: what is typed
_prac_list() {
  local last=${2##*[,@]}
  compgen -P "${2%"$last"}" -W "$1" -- "$last"
}

# Bash breaks words at = : and @ too. Here they are whole again, and --option=value is two words,
# as if it had been typed so.
# $2: the part of the last word that bash will replace
_prac() {
  local line=$COMP_LINE index word gap kept given
  local -a words=()
  for (( index = 0; index <= COMP_CWORD; index++ )); do
    word=${COMP_WORDS[index]}
    gap=$line
    if [[ -n $word ]]; then
      gap=${line%%"$word"*}
      line=${line#*"$word"}
    fi
    if [[ -n $gap || $index -eq 0 ]]; then
      words+=("$word")
    else
      words[${#words[@]}-1]+=$word
    fi
  done
  word=${words[${#words[@]}-1]}
  kept=${word%"$2"}
  local -a COMP_WORDS=()
  for word in "${words[@]}"; do
    given=""
    if [[ $word == --*=* ]]; then
      given=${word%%=*}=
      COMP_WORDS+=("${word%%=*}")
    fi
    COMP_WORDS+=("${word#"$given"}")
  done
  local COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  _shtab_prac
  for index in "${!COMPREPLY[@]}"; do
    word=$given${COMPREPLY[index]}
    COMPREPLY[index]=${word#"$kept"}
  done
}

complete -o bashdefault -F _prac prac
