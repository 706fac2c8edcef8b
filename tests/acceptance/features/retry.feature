Feature: A step is run again from its snapshot, and it is said what its failure is

  Scenario: A step that always fails is deterministic, and its attempts stay to be looked at
    Given a specification that begins with the base:
      """
        - {name: before, shell: echo before > file}
        - {name: bad, shell: "cat file; echo more >> file; exit 3"}
      """
    And it has been built, and failed
    When this is run: contractor retry BUILD
    Then the exit code is 1
    And it says:
      """
      in the build  failed with exit code 3
      3 of 3        failed with exit code 3
      Deterministic: all 4 attempts failed with exit code 3
      hint: contractor shell 
      """
    When this is run: contractor log last --step bad --attempts
    Then it prints "attempt 4 of 4"
    And it prints "before"

  Scenario: A step that fails at times is flaky, and nothing of the attempts is kept
    Given a specification that begins with the base:
      """
        - {name: coin, shell: "date +%s%N > file; [ $((10#$(date +%N) / 1000 % 2)) = 0 ]"}
        - create-artifact: {name: result, files: [file]}
      """
    And it has been built until it succeeds
    When this is run: contractor retry last coin --times 200 --until-failure
    Then the exit code is 3
    And it says:
      """
      Flaky: of 
      failed with exit code 1
      builds still find what
      --step 2 --attempts
      """
    And no place of an attempt is left
    When it is built again
    Then the outcome is succeeded
    And no step ran
    And the artifact result is the same as in the first build

  Scenario: A step that succeeds with other files each time is flaky, too
    Given a specification that begins with the base:
      """
        - {name: files, shell: "mkdir out; date +%s%N > out/stamp; echo same > out/same"}
        - {name: same, shell: "echo same > same; sleep 0.01"}
      """
    And it has been built
    When this is run: contractor retry last files
    Then the exit code is 3
    And it says:
      """
      other files: out/stamp
      those that succeeded left different files, in 3 ways
      """
    When this is run: contractor retry last same
    Then the exit code is 0
    And it says "they left the same files"

  Scenario: A server that fails is the infrastructure, and states that are gone are named
    Given a server that answers 503
    And a specification that begins with the base:
      """
        - {name: prepare, shell: echo prepared > file}
        - fetch: {url: "http://127.0.0.1:<PORT>/file", sha256: "0000000000000000000000000000000000000000000000000000000000000000"}
      """
    When it is built
    Then the outcome is broken
    When this is run: contractor retry BUILD --times 1
    Then the exit code is 6
    And it says:
      """
      Infrastructure: both attempts broke
      hint: contractor doctor
      """
    When the state after the step prepare is lost
    And this is run: contractor retry BUILD
    Then the exit code is 2
    And it says:
      """
      cannot be run again: the workspace's state after step 'prepare'
      hint: build again
      """
