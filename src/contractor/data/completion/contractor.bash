# bash completion for contractor. `contractor completion --help` says where it goes.
_contractor() {
    local program=${1/#\~\//$HOME/} who line
    COMPREPLY=()
    {
        IFS= read -r who || return 0
        while IFS= read -r line; do COMPREPLY+=("$line"); done
    } < <("$program" __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    case $who in
        files) compopt -o default ;;
        dirs) compopt -o dirnames -o filenames ;;
        nospace) compopt -o nospace -o nosort ;;
        *) compopt -o nosort ;;
    esac 2>/dev/null
}
complete -F _contractor contractor
