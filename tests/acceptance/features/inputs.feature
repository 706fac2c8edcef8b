Feature: What a build is given reaches its steps as it is

  Scenario: Parameters reach a script as environment, and never by substitution into it
    Given a specification:
      """
      parameters:
        WORD: {default: plain}
        NUMBERS: {type: list, default: ["4.0", "4.1"]}
      steps:
        - create-systree: {base: debian-12}
        - {name: say, shell: 'printf "<%s>\n" "$WORD" "$NUMBERS"; printf "%s\n" ''${WORD}'''}
      """
    When it is built
    Then the outcome is succeeded
    And the log has "<plain>\n<4.0 4.1>\n${WORD}\n"
    When it is built with: -p 'WORD=$(touch /workspace/hacked); "x" `id`'
    Then the outcome is succeeded
    And the log has "<$(touch /workspace/hacked); "x" `id`>\n"
    And the steps that ran are: say

  Scenario: A parameter that is not known, and one that must be given
    Given a specification:
      """
      parameters:
        VERSION: {help: the version}
      steps:
        - create-systree: {base: debian-12}
        - {name: say, shell: echo $VERSION}
      """
    When it is built with: -p VERSON=1
    Then the exit code is 2
    And it says:
      """
      VERSON
      did you mean VERSION?
      """
    When it is built
    Then the exit code is 2
    And it says "VERSION"
    And there is a hint and no traceback

  Scenario: A matrix builds every combination, and --only one
    Given a specification:
      """
      matrix:
        colour: [red, green]
        size: [small, large]
      steps:
        - create-systree: {base: debian-12}
        - {name: say, shell: 'echo "it is $CONTRACTOR_MATRIX_COLOUR, $CONTRACTOR_MATRIX_SIZE" | tee said'}
        - create-artifact: {name: result, files: [said]}
      """
    When it is built
    Then the exit code is 0
    And each build of the matrix succeeded: red small, red large, green small, green large
    And in the build of "green small" the log has "it is green, small"
    When it is built with: --only colour=red --only size=large
    Then each build of the matrix succeeded: red large
    And no step ran

  Scenario: One failing combination does not stop the others, and decides the exit code
    Given a specification:
      """
      matrix:
        number: ["1", "2", "3"]
      steps:
        - create-systree: {base: debian-12}
        - {name: odd, shell: 'echo here $CONTRACTOR_MATRIX_NUMBER; test "$CONTRACTOR_MATRIX_NUMBER" != 2'}
      """
    When it is built
    Then the exit code is 1
    And in the build of "1" the log has "here 1"
    And in the build of "2" the log has "here 2"
    And in the build of "3" the log has "here 3"

  Scenario: A pipeline is steps under a name, with parameters
    Given a specification:
      """
      pipelines:
        greet:
          parameters: {WHOM: {default: nobody}}
          steps:
            - {name: greet, shell: echo "hello $WHOM" >> said}
      steps:
        - create-systree: {base: debian-12}
        - pipeline: greet
        - pipeline: {name: greet, parameters: {WHOM: you}}
        - create-artifact: {name: result, files: [said]}
      """
    When it is built
    Then the outcome is succeeded
    And the artifact result holds:
      | said | hello nobody\nhello you\n |

  Scenario: A custom action gets its arguments as environment and as JSON
    Given an executable ".contractor/actions/greet":
      """
      #!/bin/sh
      echo "$CONTRACTOR_ARG_WHOM, $CONTRACTOR_ARG_TIMES, $CONTRACTOR_ARG_LOUD, $CONTRACTOR_ARG_WORDS" > env
      cat > json
      """
    And a specification that begins with the base:
      """
        - custom: {name: greet, args: {whom: you, times: 3, loud: true, words: [a, b]}}
        - create-artifact: {name: result, files: [env, json]}
      """
    When it is built
    Then the outcome is succeeded
    And the artifact result holds:
      | env  | you, 3, true, a b\n                                    |
      | json | {"whom":"you","times":3,"loud":true,"words":["a","b"]} |
    When in .contractor/actions/greet, "cat" becomes "echo changed; cat"
    And it is built again
    Then the outcome is succeeded
    And the log has "changed"

  Scenario: An `if` chooses steps
    Given a specification:
      """
      parameters:
        TESTS: {type: boolean, default: true}
      steps:
        - create-systree: {base: debian-12}
        - {name: test, if: {TESTS: true}, shell: echo testing}
        - {name: say, shell: echo done}
      """
    When it is built with: -p TESTS=false
    Then the outcome is succeeded
    And the steps that ran are: say
    When it is built
    Then the outcome is succeeded
    And the log has "testing"
