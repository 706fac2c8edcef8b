Feature: A builder builds what others send it, in the sandbox, and gives back log and files

  Scenario: An image is built on a builder, looked at, fetched again, and forgotten
    Given a builder
    And a repository with the Dockerfile:
      """
      FROM debian:12
      RUN head -n 1 /etc/os-release > /first
      """
    When it is built on the builder with: --no-clean -o out
    Then the exit code is 0
    And it prints "OK: built"
    And the file out/buildlog of the build says "line 2: RUN head -n 1 /etc/os-release > /first"
    And the last layer in out has the file first, which says "ID=debian"
    When the builder is asked for: status
    Then it prints "state        WAITING"
    And it prints "OK: built"
    When the builder is asked for: fetch -o again
    Then the exit code is 0
    And out and again have the same files
    When the builder is asked for: clean
    And the builder is asked for: status
    Then it prints "IDLE"
    And the builder has no results any more

  Scenario: A build that is aborted is over, whatever it does
    Given a builder
    And a repository with the Dockerfile:
      """
      FROM debian:12
      RUN trap '' TERM INT HUP; (sleep <NAP> &); echo it is $((40 + 2)); sleep <NAP>
      """
    When it is built on the builder, and "it is 42" is in its log
    And the builder is asked for: abort
    Then the exit code is 0
    And the build ends with exit code 130, and "ABORTED"
    And nothing of the build runs any more
    When the builder is asked for: status
    Then it prints "IDLE"

  Scenario: A builder that is killed knows, when it is started again, how its build ended
    Given a builder
    And a repository with the Dockerfile:
      """
      FROM debian:12
      RUN echo it is $((40 + 2)); sleep <NAP>
      """
    When it is built on the builder, and "it is 42" is in its log
    And the builder is killed with kill -9
    Then nothing of the build runs any more
    When the builder is started again
    Then the build ends with exit code 6, and "BUILDERFAIL"
    When the builder is asked for: status
    Then it prints "IDLE"
    And gc leaves nothing of the killed builds
