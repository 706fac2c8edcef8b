Feature: A step that fails says so, and the next build continues there

  Scenario: A failing step is named, with its last lines, the record's place and the next command
    Given a specification that begins with the base:
      """
        - {name: good, shell: echo good > good}
        - {name: bad, shell: "cat good; echo this is why >&2; exit 3"}
        - {name: after, shell: cat good}
      """
    When it is built
    Then the outcome is failed
    And the steps that ran are: good, bad
    And it says:
      """
      this is why
      failed in step 3 of 4, bad
      failed with exit code 3
      record: 
      hint: contractor log 
      """
    When the command that it names is run
    Then the exit code is 0
    And it prints "this is why"
    When in contractor.yaml, "exit 3" becomes "exit 0"
    And it is built again
    Then the outcome is succeeded
    And the steps that ran are: bad, after

  Scenario: A step that failed left nothing in the workspace for its next try
    Given a specification that begins with the base:
      """
        - {name: bad, shell: "test ! -e half; echo half > half; exit 1"}
        - create-artifact: {name: result, files: [half]}
      """
    And it has been built, and failed
    When in contractor.yaml, "exit 1" becomes "exit 0"
    And it is built again
    Then the outcome is succeeded
    And the artifact result holds:
      | half | half\n |

  Scenario: A declared file that is not there is a failure, whatever the steps said
    Given a specification that begins with the base:
      """
        - {name: fine, shell: mkdir out; touch out/other README; exit 0}
        - create-artifact: {name: result, files: ["out/*.deb", README]}
      """
    When it is built
    Then the outcome is failed
    And it says:
      """
      the artifact result lacks files
      out/*.deb
      the workspace's top has: 'README', 'out'
      """
    And there is a hint and no traceback

  Scenario: A program that is not there is named
    Given a specification that begins with the base:
      """
        - {name: compile, shell: gcc -o hello hello.c}
      """
    When it is built
    Then the outcome is failed
    And it says:
      """
      gcc: command not found
      exit code 127: a program was not found
      install its package with an `apt` step
      """

  Scenario: A pipe whose first program fails is a failure, and so is a variable that is not set
    Given a specification that begins with the base:
      """
        - {name: pipe, shell: false | cat}
      """
    When it is built
    Then the outcome is failed
    When in contractor.yaml, "false | cat" becomes "echo $NO_SUCH_NAME"
    And it is built again
    Then the outcome is failed
    And it says "NO_SUCH_NAME: unbound variable"

  Scenario: A package that does not exist is the author's mistake, not the mirror's
    Given a specification that begins with the base:
      """
        - apt: [no-such-package-anywhere]
      """
    When it is built
    Then the outcome is failed
    And it says "Unable to locate package no-such-package-anywhere"

  Scenario: A step that runs too long is stopped and named
    Given a specification that begins with the base:
      """
        - {name: slow, timeout: 1s, shell: "trap '' TERM; echo started; sleep 100"}
      """
    When it is built
    Then the outcome is out-of-limits
    And it says "the step 'slow' ran longer than its limit of 1s"

  Scenario: A file that is too large, and a log that is too long
    Given a specification that begins with the base:
      """
        - {name: large, limits: {file-size: 1M}, shell: head -c 2M /dev/zero > large}
      """
    When it is built
    Then the outcome is out-of-limits
    And it says "the step 'large' wrote a file larger than its limit"
    Given a specification:
      """
      limits: {log: 100k}
      steps:
        - create-systree: {base: debian-12}
        - {name: chatty, shell: "yes | head -c 10M"}
      """
    When it is built
    Then the outcome is out-of-limits
    And it says "the log reached its limit"
    And events, record and log tell the same story
