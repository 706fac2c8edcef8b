Feature: A shell in a step's own sandbox, and a build that tells what a person changed

  Scenario: A failed step is entered as it was left, tried again, and nothing of that stays
    Given a specification that begins with the base:
      """
        - {name: prepare, shell: echo prepared > input}
        - {name: bad, shell: "cat input; echo half > output; test -e missing"}
        - {name: after, shell: cat output}
      """
    And it has been built, and failed
    When the command for a shell that it names is typed
    Then above its prompt it says "shell in the sandbox of step 3, bad"
    And above its prompt it says "as the failed step left it"
    And in it "cat input output" prints "prepared half"
    And in it "again && echo good || echo still" prints "prepared still"
    And in it "touch missing; cd /; again && echo good; echo changed > /workspace/input" prints "prepared good"
    When the shell is left with "exit 5"
    Then the exit code is 5
    And it says "paths changed"
    When this is run: contractor shell BUILD --before -- sh -c "cat *; ls"
    Then it prints "prepared"
    And it does not print "output"
    When in contractor.yaml, "test -e missing" becomes "true"
    And it is built again
    Then the outcome is succeeded
    And the steps that ran are: bad, after

  Scenario: A shell comes where a step fails, the build fails all the same, and keeps what the step left
    Given a specification that begins with the base:
      """
        - {name: bad, diagnostics: ["*.log"], shell: "echo why > it.log; exit 3"}
      """
    When it is built at a terminal with: --debug
    Then in the shell "cat it.log; rm it.log; echo other > other.log" prints "why"
    When the shell is left with "exit 0"
    Then the outcome is failed
    And it says "1 file kept for diagnosis"
    When this is run: contractor shell BUILD -- sh -c "cat *.log"
    Then it prints "why"
    When this is run: contractor artifacts get last --diagnostics -o kept
    Then the exit code is 0
    And the file kept/it.log says "why"
    When this is run: contractor show last
    Then it prints "its workspace is kept as it left it: contractor shell"
    And it prints "asked          --debug"

  Scenario: What a person changed is told, and is found by no later build
    Given a specification that begins with the base:
      """
        - {name: one, shell: echo one > one}
        - {name: two, shell: cat one > two}
        - create-artifact: {name: first, files: [two]}
        - empty-workspace:
        - {name: three, shell: echo three > three}
        - create-artifact: {name: second, files: ["*"]}
      """
    And it has been built
    When it is built at a terminal with: --break two --break three
    Then in the shell "cat one; echo changed > one" prints "one"
    When the shell is left with "exit", for the next one
    Then in the shell "ls | wc -l" prints "0"
    When the shell is left with "exit"
    Then the outcome is succeeded
    And the artifact first is another than in the first build
    And the artifact second is the same as in the first build
    And tainted are the steps: two, create-artifact first
    And it says "Tainted: a shell changed"
    When it is built again
    Then the outcome is succeeded
    And no step ran
    And the artifact first is the same as in the first build
    And the build is not tainted
    When this is run: contractor show last
    Then it does not print "tainted"

  Scenario: A person says no before a step, or takes its place, or comes after it
    Given a specification that begins with the base:
      """
        - {name: one, shell: echo one > one}
        - {name: two, shell: echo two > two}
      """
    When it is built at a terminal with: --break two
    And the shell is left with "exit 7"
    Then the outcome is aborted
    And it says "the shell before the step 'two' ended with 7"
    When it is built at a terminal with: --shell two
    Then in the shell "ls; again; ls" prints "one one two"
    When the shell is left with "exit"
    Then the outcome is succeeded
    And the build has not run the steps: two
    When it is built at a terminal with: --shell-after 2
    Then in the shell "ls" prints "one"
    When the shell is left with "exit"
    Then the outcome is succeeded
    And no step ran of: two

  Scenario: What cannot be entered is told, with what can be done
    Given a specification that begins with the base:
      """
        - {name: one, shell: echo one > one}
        - {name: bad, shell: exit 1}
        - {name: never, shell: "true"}
      """
    And it has been built, and failed
    And it has been built, and failed
    When this is run: contractor shell BUILD --step never -- true
    Then the exit code is 2
    And it says "step 3, bad, which it stands on, has not succeeded (failed)"
    When this is run: contractor shell BUILD --after -- true
    Then it says "there is no after"
    When this is run: contractor shell BUILD
    Then it says "a shell needs a terminal"
    When this is run: contractor shell scenari -- true
    Then it says "there is no build scenari"
    When this is run: contractor shell 2 -- true
    Then it says "hint: give more of the id"
    When this is run: contractor shell BUILD --step nothing -- true
    Then it says "has no step 'nothing'"
    When the state after the step one is lost
    And this is run: contractor shell BUILD --before -- true
    Then the exit code is 2
    And it says "the workspace's state after step 'one'"
    And it says "hint: build again: what is missing is made anew"
    When it is built again
    Then the steps that ran are: one, bad
    When this is run: contractor shell BUILD --before -- cat one
    Then it prints "one"
