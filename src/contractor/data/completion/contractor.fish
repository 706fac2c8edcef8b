# fish completion for contractor. `contractor completion --help` says where it goes.
function __contractor_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    # A quote that is still open cannot be read: what follows it is what has been typed.
    set -l now (string unescape -- $typed; or string replace -r '^(.*?)["\']' '$1' -- $typed)
    set -l answer ($words[1] __complete fish $words[2..-1] "$now" 2>/dev/null)
    set -l lead (string match -r '^[^=]*=' -- "$now")
    switch "$answer[1]"
        case files
            __fish_complete_path (string replace -- "$lead" '' "$now") | string replace -r '^' -- "$lead"
        case dirs
            __fish_complete_directories (string replace -- "$lead" '' "$now") | string replace -r '^' -- "$lead"
        case '*'
            string join -- \n $answer[2..-1]
    end
end
complete -c contractor -f -k -a '(__contractor_complete)'
