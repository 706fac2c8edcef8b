Feature: What was built can be built again from its record, and compared

  Scenario: A build that depends on nothing but its inputs
    Given a specification:
      """
      steps:
        - create-systree: {base: debian-12}
        - {name: make, shell: 'mkdir d; touch d/c d/a d/b; find d | sort > list; echo $SOURCE_DATE_EPOCH > epoch'}
        - create-artifact: {name: result}
      """
    And it has been built
    When this is run: contractor verify BUILD
    Then the exit code is 0
    And it prints "reproduced: 1 of 1 artifact"
    When this is run: contractor compare last last~1
    Then the exit code is 0

  Scenario: A build that looks at what must not matter
    Given a specification:
      """
      steps:
        - create-systree: {base: debian-12}
        - {name: make, shell: 'uname -r > kernel; nproc > cpus; mkdir d; touch d/c d/a d/b; ls -U d > order; echo > same'}
        - create-artifact: {name: all}
        - create-artifact: {name: one, files: [same]}
      """
    And it has been built
    When this is run: contractor verify BUILD
    Then the exit code is 3
    And it prints "kernel"
    And it prints "order"
    And it prints "NOT REPRODUCIBLE: 1 of 2 artifacts"

  Scenario: A build that failed, and one that was asked for a part, prove nothing
    Given a specification:
      """
      steps:
        - create-systree: {base: debian-12}
        - {name: make, shell: 'touch file'}
        - create-artifact: {name: result}
        - {name: fail, shell: 'false'}
      """
    And it has been built, and failed
    When this is run: contractor verify BUILD
    Then the exit code is 2
    And there is a hint and no traceback
    When it is built with: --until 3
    And this is run: contractor verify last
    Then the exit code is 2
    And it says "--until 3"

  Scenario: Published sums are compared with a build, name by name
    Given a specification:
      """
      steps:
        - create-systree: {base: debian-12}
        - {name: make, shell: 'echo one > one; echo two > two'}
        - create-artifact: {name: one, files: [one], format: directory}
        - create-artifact: {name: two, files: [two], format: tar}
      """
    When it is built with: -o $PROJECT/out
    And this is run: contractor compare last ./out
    Then the exit code is 0
    When in out/SHA256SUMS, "  two.tar" becomes "  three.tar"
    And this is run: contractor compare last ./out/SHA256SUMS
    Then the exit code is 3
    And it prints "only in last: two.tar"
    And it prints "only in ./out/SHA256SUMS: three.tar"
    When this is run: contractor compare last ./out
    Then the exit code is 3
    And it prints "not what the SHA256SUMS beside it says: ./out/three.tar"
