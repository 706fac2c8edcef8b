Feature: A bad specification is answered with every problem, its place and a hint, before anything runs

  Scenario: There is no specification
    When it is built
    Then the exit code is 2
    And it says "there is no specification contractor.yaml"
    And it says "contractor init"
    And there is a hint and no traceback

  Scenario: All problems are told at once
    Given a specification:
      """
      contractor: 1
      name: many problems
      sumary: a typo
      limits: {time: soon}
      steps:
        - create-systree: {base: debian-12}
        - shel: echo
        - shell: echo
          nework: [example.org]
        - {shell: a, apt: [b]}
        - create-artifact: {name: a, file: [x]}
        - fetch: {url: "http://example.org/y", sha256: abc}
      """
    When it is built
    Then the exit code is 2
    And it says:
      """
      contractor.yaml has 8 problems
      contractor.yaml:2:7: "many problems" is not a name
      contractor.yaml:3:1: unknown key "sumary"
      did you mean summary?
      contractor.yaml:4:16: time: "soon" is not a duration
      contractor.yaml:7:5: unknown key "shel"
      did you mean shell?
      contractor.yaml:9:5: unknown key "nework"
      contractor.yaml:10:16: a step has one action
      contractor.yaml:11:32: unknown key "file"
      contractor.yaml:12:50: a sha256 is 64 hexadecimal digits
      """
    And there is a hint and no traceback

  Scenario Outline: One problem: <problem>
    Given a specification:
      """
      contractor: 1
      name: bad
      <line>
      steps:
        - create-systree: {base: debian-12}
        - <step>
      """
    When it is built
    Then the exit code is 2
    And it says "contractor.yaml:<place>: "
    And it says "<message>"
    And there is a hint and no traceback

    Examples:
      | problem                       | line                        | step                              | place | message                             |
      | a matrix with no value        | matrix: {colour: []}        | shell: echo                       | 3:18  | a matrix with no value              |
      | an unknown base               | summary: s                  | create-systree: {base: debian-21} | 6:5   | there is no base debian-21          |
      | an artifact used before       | summary: s                  | unpack-artifact: nothing          | 6:5   | no earlier step creates the artifact |
      | a source that is outside      | source: {path: ../elsewhere} | shell: echo                       | 3:16  | leads out by ..                     |
      | a source that is absolute     | source: {path: /etc}        | shell: echo                       | 3:16  | is absolute                         |
      | network for a step like apt   | summary: s                  | {apt: [gcc], network: [a.org]}    | 6:18  | network cannot be given for apt     |
      | everything as network         | summary: s                  | {shell: a, network: ["*"]}        | 6:26  | would open the whole network                                 |
      | a parameter in `if` not there | summary: s                  | {shell: a, if: {NAME: x}}         | 6:21  | unknown parameter                   |
      | a custom action not there     | summary: s                  | custom: dance                     | 6:5   | the custom action dance cannot be read |

  Scenario: An artifact name used twice
    Given a specification that begins with the base:
      """
        - create-artifact: {name: twice, files: [a]}
        - create-artifact: {name: twice, files: [b]}
      """
    When it is built
    Then the exit code is 2
    And it says "twice"
    And there is a hint and no traceback

  Scenario: A source that is not there
    Given a specification:
      """
      source: {path: nowhere}
      steps:
        - create-systree: {base: debian-12}
      """
    When it is built
    Then the exit code is 2
    And it says "nowhere is no folder"
    And there is a hint and no traceback

  @user-only
  Scenario: A source file that cannot be read
    Given a file "src/open" that says "open"
    And a file "src/closed" that says "closed"
    And the file "src/closed" cannot be read
    And a specification:
      """
      source: {path: src}
      steps:
        - create-systree: {base: debian-12}
      """
    When it is built
    Then the exit code is 2
    And it says "/src"
    And it says "closed"
    And it does not say "b'closed'"
    And there is a hint and no traceback

  @user-only
  Scenario: A source folder that cannot be read
    Given a file "src/closed/file" that says "closed"
    And the file "src/closed" cannot be read
    And a specification:
      """
      source: {path: src}
      steps:
        - create-systree: {base: debian-12}
      """
    When it is built
    Then the exit code is 2
    And it says "closed"
    And there is a hint and no traceback

  Scenario: A specification of 10 MB is refused at once
    Given a specification of 10 MB
    When it is built
    Then the exit code is 2
    And it says "more than 1048576"
    And there is a hint and no traceback
    And it took less than 5 seconds

  Scenario: A YAML bomb is refused at once
    Given a specification with an anchor of anchors, 10 to the 12th items in all
    When it is built
    Then the exit code is 2
    And it says "is not allowed"
    And there is a hint and no traceback
    And it took less than 5 seconds

  Scenario: A specification that is no text, and one that is not finished
    Given a specification of the bytes ff fe 00 80
    When it is built
    Then the exit code is 2
    And there is a hint and no traceback
    Given a specification:
      """
      contractor: 1
      name: bad
      steps: [
      """
    When it is built
    Then the exit code is 2
    And it says "contractor.yaml:"
    And there is a hint and no traceback

  Scenario: Options that are not there, and a matrix value that is not
    Given a specification:
      """
      matrix: {colour: [red, green]}
      steps:
        - create-systree: {base: debian-12}
      """
    When it is built with: --fresch
    Then the exit code is 2
    And there is a hint and no traceback
    When it is built with: --only colour=rad
    Then the exit code is 2
    And it says "red"
    And there is a hint and no traceback
    When it is built with: -p colour
    Then the exit code is 2
    And it says "expected NAME=VALUE"
