Feature: Any byte in a name or an output is kept as it is

  Scenario: Files with strange names come through the source, the workspace and the artifact
    Given files with strange names in the folder src:
      | a:b c         |
      | new\nline     |
      | \xff\xfe      |
      | \xc3\xa9      |
      | -rf           |
      | "quoted" $HOME |
      | back\\\\slash |
    And a specification:
      """
      source: {path: src, to: src}
      steps:
        - create-systree: {base: debian-12}
        - {name: count, shell: "printf '%s\\0' src/* | tr -dc '\\0' | wc -c"}
        - create-artifact: {name: result, files: [src]}
      """
    When it is built
    Then the outcome is succeeded
    And the log has "7\n"
    And every file with a strange name is in it, with its content
    When it is built with: --output $TOP/given
    Then the outcome is succeeded

  Scenario: A project whose folder has a strange name
    Given the project is in a folder named "it's: a\nfolder \xff"
    And a file "src/input" that says "here"
    And a specification:
      """
      source: {path: src, to: src}
      steps:
        - create-systree: {base: debian-12}
        - {name: read, shell: cat src/input}
      """
    When it is built
    Then the outcome is succeeded
    And the log has "here"

  Scenario: A store whose folder has a strange name
    Given a small system tree
    And the store is in a folder named "it's: a\nstore, \xc3\xa9"
    And a specification that begins with the small system tree:
      """
        - {name: write, shell: echo hello > said}
        - create-artifact: {name: result, files: [said]}
      """
    When it is built
    Then the outcome is succeeded
    And everything finished in the store is whole
    And the artifact result holds:
      | said | hello\n |

  Scenario: Output that is no UTF-8, and output without a final newline
    Given a specification that begins with the base:
      """
        - {name: bytes, shell: "printf 'a\\377\\376b\\n'; printf 'x'"}
        - {name: next, shell: printf y; printf z >&2}
      """
    When it is built
    Then the outcome is succeeded
    And the log is exactly "a\xff\xfeb\nxyz"
    And it says "[2/3]"
    And events, record and log tell the same story

  Scenario: A script without a final newline, of one character, with carriage returns in a string
    Given a specification that begins with the base:
      """
        - {name: one, shell: ":"}
        - {name: two, shell: "printf 'a\\r\\n' | od -c | head -n 1"}
        - {name: three, shell: "if true; then echo last; fi"}
      """
    When it is built
    Then the outcome is succeeded
    And the log has "last\n"

  Scenario: Links in the source that point out stay links, and bring nothing in
    Given a file "src/real" that says "real"
    And the file "src/out" is a link to "/etc/shadow"
    And the file "src/up" is a link to "../../../../etc/passwd"
    And the file "src/in" is a link to "real"
    And a specification:
      """
      source: {path: src, to: src}
      steps:
        - create-systree: {base: debian-12}
        - {name: look, shell: 'readlink src/out src/up; cat src/in'}
      """
    When it is built
    Then the outcome is succeeded
    And the log has "/etc/shadow\n../../../../etc/passwd\nreal"
    And no result or source in the store has "root:"

  Scenario: A store, and a project, whose path is no UTF-8
    Given the store is in a folder named "store \xff"
    And a specification:
      """
      steps:
        - create-artifact: nothing
      """
    When it is built
    Then the exit code is 2
    And there is a hint and no traceback

  Scenario: A specification that is named by a path that is no UTF-8
    Given the project is in a folder named "project \xff"
    And a file "src/input" that says "here"
    And a specification:
      """
      source: {path: src}
      steps:
        - create-artifact: all
      """
    When it is built with: '$PROJECT'
    Then the outcome is succeeded
