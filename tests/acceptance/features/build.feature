Feature: A build runs what has to run, and nothing else
  Every scenario runs as root and as an ordinary user. `name` and a unique `env` are added to each specification.

  Scenario: The first build runs every step, the second none
    Given a specification that begins with the base:
      """
        - {name: write, shell: echo hello > greeting}
        - {name: read, shell: cat greeting}
        - create-artifact: {name: result, files: [greeting]}
      """
    When it is built
    Then the outcome is succeeded
    And the steps that ran are: write, read, create-artifact result
    And it says "hello"
    And the artifact result holds:
      | greeting | hello\n |
    When it is built again
    Then the outcome is succeeded
    And no step ran
    And the artifact result is the same as in the first build

  Scenario: A change of the last step runs only the last step
    Given a specification that begins with the base:
      """
        - {name: one, shell: echo 1 > one}
        - {name: two, shell: cat one > two}
        - {name: three, shell: cat two; echo third}
      """
    And it has been built
    When in contractor.yaml, "third" becomes "changed"
    And it is built again
    Then the outcome is succeeded
    And the steps that ran are: three
    And the log has "1\nchanged"

  Scenario: A change of a step runs that step and all after it, in the workspace as it was before it
    Given a specification that begins with the base:
      """
        - {name: one, shell: echo 1 > one}
        - {name: two, shell: echo 2 >> one}
        - {name: three, shell: echo 3 >> one}
        - create-artifact: {name: result, files: [one]}
      """
    And it has been built
    When in contractor.yaml, "echo 2" becomes "echo 22"
    And it is built again
    Then the outcome is succeeded
    And the steps that ran are: two, three, create-artifact result
    And the artifact result holds:
      | one | 1\n22\n3\n |
    And the artifact result is another than in the first build

  Scenario: A changed source runs what comes after it, but installs no packages again
    Given a file "src/input" that says "first\n"
    And a specification:
      """
      source: {path: src, to: src}
      steps:
        - create-systree: {base: debian-12}
        - apt: [hello]
        - {name: use, shell: "hello; cat src/input"}
        - create-artifact: {name: result, files: [src]}
      """
    And it has been built
    When in src/input, "first" becomes "second"
    And it is built again
    Then the outcome is succeeded
    And no apt step ran
    And the log has "Hello, world!\nsecond"
    And the artifact result holds:
      | src/input | second\n |

  Scenario: --fresh runs every step, and makes the same
    Given a specification that begins with the base:
      """
        - {name: write, shell: echo hello > greeting}
        - create-artifact: {name: result, files: [greeting]}
      """
    And it has been built
    When it is built with: --fresh
    Then the outcome is succeeded
    And the steps that ran are: create-systree debian-12, write, create-artifact result
    And the artifact result is the same as in the first build

  Scenario: --keep keeps the workspace
    Given a specification that begins with the base:
      """
        - {name: write, shell: touch here there; mkdir -m 000 closed}
      """
    When it is built with: --keep
    Then the exit code is 0
    And the workspace is where it says, with:
      """
      closed here there
      """

  Scenario: Artifacts are copied out with their digests
    Given a specification that begins with the base:
      """
        - {name: write, shell: mkdir out; echo hello > out/greeting}
        - create-artifact: {name: result, files: [out], format: directory}
      """
    When it is built with: --output $TOP/given
    Then the outcome is succeeded
    And the folder given holds what SHA256SUMS says, and "hello\n" in result/out/greeting

  Scenario: Events, record and log tell the same story
    Given a specification that begins with the base:
      """
        - {name: write, shell: echo written; printf 'no newline'}
        - create-artifact: {name: result, files: ["."]}
        - {name: say, shell: "head -c 300000 /dev/zero | tr '\\0' 'x'"}
        - {name: fail, shell: echo the end; exit 7}
        - {name: never, shell: echo never}
      """
    When it is built
    Then the exit code is 1
    And events, record and log tell the same story
