Feature: The network on a bad day
  A download that is not what it should be is the author's turn; a mirror that is down or in mid-sync is the operator's.

  Scenario: A fetch whose sha256 is right
    Given a server that has the content
    And a specification that begins with the base:
      """
        - fetch: {url: "http://127.0.0.1:<PORT>/file.txt", sha256: <CONTENT>}
        - create-artifact: {name: result, files: [file.txt]}
      """
    When it is built
    Then the outcome is succeeded
    And the artifact result holds:
      | file.txt | the content\n |
    And the record has the fetch, with its size and sha256

  Scenario: A fetch whose sha256 is wrong: both digests are told, and nothing of it stays
    Given a server that has the content
    And a specification that begins with the base:
      """
        - fetch: {url: "http://127.0.0.1:<PORT>/file.txt", sha256: 6ad0b3903de93e2c13b9a2abb96f13dab6ce0ad40df51ea92cb8df9bd6d9b7b6}
      """
    And the store's size is noted
    When it is built
    Then the outcome is rejected
    And it says "6ad0b3903de93e2c13b9a2abb96f13dab6ce0ad40df51ea92cb8df9bd6d9b7b6"
    And it says "<CONTENT>"
    And there is a hint and no traceback
    And the store is no larger than before

  Scenario: A server that answers with a page that says sorry
    Given a server that answers everything with a page that says sorry
    And a specification that begins with the base:
      """
        - fetch: {url: "http://127.0.0.1:<PORT>/file.tar.gz", sha256: 6ad0b3903de93e2c13b9a2abb96f13dab6ce0ad40df51ea92cb8df9bd6d9b7b6}
      """
    When it is built
    Then the outcome is rejected
    And it says "6ad0b3903de93e2c13b9a2abb96f13dab6ce0ad40df51ea92cb8df9bd6d9b7b6"
    And it says "it may be an error page"
    And there is a hint and no traceback

  Scenario Outline: A fetch from a server that <is>
    Given <server>
    And a specification that begins with the base:
      """
        - fetch: {url: "http://127.0.0.1:<PORT>/file.txt", sha256: 6ad0b3903de93e2c13b9a2abb96f13dab6ce0ad40df51ea92cb8df9bd6d9b7b6}
      """
    When it is built
    Then the outcome is broken
    And it says "127.0.0.1"
    And there is a hint and no traceback

    Examples:
      | is            | server                     |
      | is not there  | a port where nobody listens |
      | is overloaded | a server that answers 503   |

  @user-only
  Scenario Outline: A base from a mirror that <is>
    Given <server>
    And a specification:
      """
      steps:
        - debootstrap: {suite: bookworm, mirror: "http://127.0.0.1:<PORT>/debian"}
        - create-artifact: tree
      """
    When it is built
    Then the outcome is broken
    And it says "<message>"
    And it says "<hint>"
    And there is a hint and no traceback
    And everything finished in the store is whole

    Examples:
      | is                | server                                   | message                            | hint                          |
      | is not there      | a port where nobody listens              | the mirror did not answer          | Building again continues here |
      | is overloaded     | a server that answers 503                | the mirror did not answer          | Building again continues here |
      | is in mid-sync    | a server that is in the middle of a sync | the mirror is in the middle of a sync | wait some minutes             |

  Scenario: A step without network reaches nothing, not even this machine's own servers
    Given a server that has the content
    And a specification that begins with the base:
      """
        - name: try
          shell: |
            if (exec 3<>/dev/tcp/127.0.0.1/<PORT>) 2>/dev/null; then echo reached; exit 1; fi
            if (exec 3<>/dev/tcp/deb.debian.org/80) 2>/dev/null; then echo reached; exit 1; fi
            echo sealed
      """
    When it is built
    Then the outcome is succeeded
    And the log has "sealed"

  Scenario: A step with network reaches the hosts that it names, and no other
    Given a server that has the content
    And a specification that begins with the base:
      """
        - name: ask
          network: ["127.0.0.1:<PORT>"]
          shell: |
            ask() {
              exec 3<>/dev/tcp/127.0.0.1/3128
              printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
              head -n 1 <&3
              exec 3>&-
            }
            ask http://127.0.0.1:<PORT>/file 127.0.0.1:<PORT>
            ask http://deb.debian.org/ deb.debian.org
      """
    When it is built
    Then the outcome is succeeded
    And the log has "HTTP/1.1 200"
    And the log has "HTTP/1.1 403"
    And it says "deb.debian.org"
