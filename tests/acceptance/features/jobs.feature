Feature: The builds of a matrix run at the same time

  Background:
    Given a small system tree
    And a specification:
      """
      parameters:
        NAMES: {type: list, default: [a, b, c]}
      matrix: {WHO: "${NAMES}"}
      limits: {memory: 200M}
      source: {path: tree}
      steps:
        - create-artifact: tree
        - {name: the tree, create-systree: tree}
        - empty-workspace:
        - {name: together, shell: "echo begin together; sleep 1; echo end together"}
        - {name: alone, exclusive: disk, shell: "echo begin alone; sleep 0.5; echo end alone"}
        - name: work
          shell: |
            echo "$CONTRACTOR_MATRIX_WHO" > file
            case "$CONTRACTOR_MATRIX_WHO" in
              bad*) echo "this one does not want"; exit 3;;
              long*) echo now; sleep 60;;
            esac
        - create-artifact: {name: made, files: [file], format: directory}
      """

  Scenario: Steps run beside each other, those that are exclusive one at a time, and one file of sums is over all
    When it is built with: --jobs 3 --output $TOP/out
    Then the exit code is 0
    And builds were in the step together at the same time
    And no two builds were in the step alone at the same time
    And the step "the tree" ran once in all builds
    And it says "3 builds: 3 succeeded"
    And sha256sum finds all of these as SHA256SUMS says: file tree.tar.zst, of a b c

  Scenario: One that fails does not stop the others, and its hint is at the end
    When it is built with: --jobs 2 --output $TOP/out -p "NAMES=bad a b"
    Then the exit code is 1
    And it says "3 builds: 1 failed, 2 succeeded"
    And it says "bad failed in step 7 of 8, work"
    And it says "hint: contractor log"
    And there is no SHA256SUMS over all

  Scenario: Unless the others shall end with it
    When it is built with: --jobs 2 --fail-fast -p "NAMES=bad1 long1 x y"
    Then the exit code is 1
    And it says "1 failed, 1 aborted, 2 not begun"

  Scenario Outline: <how> stops them all, and leaves nothing
    When it is built with 3 at once, and ended with <how> when all are in the middle: NAMES=long2 long3 long4
    Then nothing of them is running any more

    Examples:
      | how     |
      | Ctrl-C  |
      | SIGTERM |
      | kill -9 |
