#compdef contractor
# zsh completion for contractor. `contractor completion --help` says where it goes.
_contractor() {
    local who line tab=$'\t'
    local -a answer values texts open open_texts
    answer=("${(@f)$(${(Q)words[1]} __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    who=${answer[1]}
    shift answer
    case $who in
        files) [[ $PREFIX == -*=* || $PREFIX == [A-Za-z]*=* ]] && compset -P '*='; _files; return ;;
        dirs) [[ $PREFIX == -*=* ]] && compset -P '*='; _files -/; return ;;
    esac
    for line in $answer; do
        # What ends like this is not finished: no space after it.
        if [[ ${line%%$tab*} == *[=/] ]]; then
            open+=("${line%%$tab*}")
            open_texts+=("${line/$tab/  }")
        else
            values+=("${line%%$tab*}")
            texts+=("${line/$tab/  }")
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
