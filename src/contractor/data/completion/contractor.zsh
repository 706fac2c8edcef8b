#compdef contractor
# zsh completion for contractor. `contractor completion --help` says where it goes.
_contractor() {
    local who line value tab=$'\t'
    local -a answer values texts open open_texts
    answer=("${(@f)$(${(Q)words[1]} __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    who=${answer[1]}
    shift answer
    case $who in
        files) [[ $PREFIX == *=* ]] && compset -P '*='; _files; return ;;
        dirs) [[ $PREFIX == *=* ]] && compset -P '*='; _files -/; return ;;
        specs) _files -g '*.(yaml|yml)(-.)'; return ;;
    esac
    local -i width=0
    for line in $answer; do
        value=${line%%$tab*}
        (( $#value > width )) && width=$#value
    done
    (( width > 40 )) && width=40
    for line in $answer; do
        value=${line%%$tab*}
        if (( $#value > width )); then
            line="$value  ${line#*$tab}"
        else
            line="${(r:width:)value}  ${line#*$tab}"
        fi
        # What ends like this is not finished: no space after it.
        if [[ $value == *[=/] ]]; then
            open+=("$value")
            open_texts+=("$line")
        else
            values+=("$value")
            texts+=("$line")
        fi
    done
    (( $#values )) && compadd -V contractor -l -d texts -a values
    (( $#open )) && compadd -V contractor-open -S '' -l -d open_texts -a open
}
if [[ $funcstack[1] == _contractor ]]; then
    _contractor "$@"
else
    compdef _contractor contractor
fi
