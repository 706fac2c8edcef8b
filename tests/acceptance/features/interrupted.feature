Feature: A build that is interrupted loses nothing and leaves nothing

  Scenario: Ctrl-C stops cleanly, and the next build continues
    Given a specification that begins with the base:
      """
        - {name: first, shell: echo kept > first}
        - {name: long, shell: "cat first; echo now; sleep 0.1; test -e /proc/1 && sleep ${SECONDS_TO_WAIT:-60}"}
      """
    When it is built, and ended with Ctrl-C when "now" is in its output
    Then the outcome is aborted
    And it says "finished steps are kept"
    And no duration is negative
    When in contractor.yaml, "sleep ${SECONDS_TO_WAIT:-60}" becomes "true"
    And it is built again
    Then the outcome is succeeded
    And the steps that ran are: long

  Scenario: SIGTERM stops cleanly, as a service manager or a CI asks
    Given a specification that begins with the base:
      """
        - {name: long, shell: "echo now; sleep 60"}
      """
    When it is built, and ended with SIGTERM when "now" is in its output
    Then the outcome is aborted

  Scenario Outline: A build that is killed while <phase> continues, and makes the same
    Given a specification that begins with the base:
      """
        - {name: first, shell: echo kept > first}
        - {name: work, shell: "for i in 1 2 3; do echo $i; sleep 0.2; done > counted; head -c 150M /dev/zero > zeros"}
        - create-artifact: {name: result, files: [first, counted, zeros]}
        - {name: last, shell: cat counted}
      """
    When it is built, and ended with kill -9 <when> seconds into the <step>
    And it is built again
    Then the outcome is succeeded
    And everything finished in the store is whole
    And the steps that ran are: <runs>
    When it is built with: --fresh
    Then the artifact result is the same as in the first build
    And gc leaves nothing of the killed builds

    Examples:
      | phase             | when | step                                   | runs                               |
      | a script runs     | 0.2  | shell step "work"                      | work, create-artifact result, last |
      | an artifact grows | 0.05 | create-artifact step "create-artifact result" | create-artifact result, last |

  Scenario: A build that is killed while apt installs continues, and makes the same
    Given a specification that begins with the base:
      """
        - {name: install, apt: [hello, sl]}
        - {name: use, shell: hello > said}
        - create-artifact: {name: result, files: [said]}
      """
    When it is built, and ended with kill -9 when "Unpacking hello" is in its output
    And it is built again
    Then the outcome is succeeded
    And everything finished in the store is whole
    And the steps that ran are: install, use, create-artifact result
    And the artifact result holds:
      | said | Hello, world!\n |
    And gc leaves nothing of the killed builds

  Scenario: A base whose making is killed is made by the next build; a second one at the same time waits for it
    Given a store of its own, with nothing in it
    And a specification that begins with the base:
      """
        - {name: use, shell: . /etc/os-release; echo $VERSION_CODENAME > said}
        - create-artifact: {name: result, files: [said]}
      """
    When it is built, and ended with kill -9 2 seconds into the debootstrap step "debootstrap bookworm"
    And a second build of it starts while the first is in the debootstrap step
    Then all but the first succeed
    And the base was made once
    And the base has the same digest as in the other store
    And everything finished in the store is whole
    And the artifact result holds:
      | said | bookworm\n |
    And gc leaves nothing of the killed builds

  Scenario: Two builds of the same at the same time both succeed
    Given a specification that begins with the base:
      """
        - {name: write, shell: "sleep 0.3; echo hello > greeting"}
        - create-artifact: {name: result, files: [greeting]}
        - {name: more, shell: "cat greeting; sleep 0.2"}
      """
    When 3 builds of it run at the same time
    Then all of them succeed
    And all of them made the same artifacts
    And everything finished in the store is whole
