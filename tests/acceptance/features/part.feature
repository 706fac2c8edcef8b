Feature: A part of a build, and steps that run anew

  Scenario: Only the step that is asked for runs, and what stood on its old result is made again
    Given a specification:
      """
      steps:
        - create-systree: {base: debian-12}
        - {name: first, shell: 'date +%N > name-$RANDOM$RANDOM'}
        - {name: second, shell: 'mkdir -p moved; mv name-* moved/'}
        - {name: third, shell: 'test $(ls moved | wc -l) = 1; cat moved/* > copy; cmp moved/* copy'}
      """
    And it has been built
    When it is built with: --only first
    Then the outcome is succeeded
    And the steps that ran are: first
    When it is built again
    Then the outcome is succeeded
    And the steps that ran are: second, third
    When it is built again
    Then no step ran

  Scenario: A build ends where it is asked to, and goes on from there
    Given a specification:
      """
      steps:
        - create-systree: {base: debian-12}
        - {name: first, shell: 'echo 1 > first'}
        - {name: second, shell: 'echo 2 > second'}
        - {name: third, shell: 'cat first second'}
      """
    When it is built with: --until second
    Then the outcome is succeeded
    And the steps that ran do not include third
    When it is built again
    Then the steps that ran are: third
    When it is built with: --from second
    Then the steps that ran are: second, third
    When it is built with: --from third --until second
    Then the exit code is 2
    And there is a hint and no traceback
    When it is built with: --only fourth
    Then the exit code is 2
    And it says "fourth"
