Feature: Strange surroundings

  Scenario Outline: A store inside the source, <how>, is no part of it and does not make it grow
    Given <store>
    And a small system tree
    And a file "src/input" that says "here"
    And a specification:
      """
      source: {path: .}
      steps:
        - create-artifact: {name: tree, files: [tree/bin, tree/lib, tree/lib64]}
        - create-artifact: all
      """
    And it has been built
    And the store's size is noted
    When it is built again
    Then the outcome is succeeded
    And no step ran
    And the artifact all is the same as in the first build
    And the store is no larger than before

    Examples:
      | how            | store                                         |
      | named directly | the store is inside the project               |
      | named by link  | the store is named through a link into the project |

  Scenario: A kept workspace inside the source, with what its owner cannot read, is no part of the source
    Given the store is inside the project
    And a small system tree
    And a specification:
      """
      source: {path: .}
      steps:
        - create-artifact: {name: tree, files: [tree/bin, tree/lib, tree/lib64]}
        - empty-workspace: {keep: [tree]}
        - create-artifact: {name: systree, files: [tree]}
      """
    And it has been built
    When a folder that nobody may read is in the store
    And it is built again
    Then the outcome is succeeded
    And no step ran

  Scenario: What is copied out into the source's folder is no part of it
    Given a file "src/input" that says "here"
    And a specification:
      """
      source: {path: .}
      steps:
        - create-artifact: all
      """
    When it is built with: --output $PROJECT/out
    Then the outcome is succeeded
    When it is built with: --output $PROJECT/out
    Then the outcome is succeeded
    And no step ran

  @root-only
  Scenario: A store on a file system that cannot hold an overlay
    Given a small system tree
    And a store on an overlay, which cannot hold another one
    And a specification that begins with the small system tree:
      """
        - {name: write, shell: echo hello > said}
        - create-artifact: {name: result, files: [said]}
      """
    When it is built
    Then it builds all the same, or says what the store's file system lacks

  @root-only
  Scenario: A store that cannot be written
    Given a store on a file system that is read-only
    And a specification:
      """
      steps:
        - create-systree: {base: debian-12}
      """
    When it is built
    Then the exit code is 6
    And it says "--store DIR"
    And there is a hint and no traceback

  Scenario Outline: The clock jumped <direction> since the last build
    Given a small system tree
    And a store of its own, with nothing in it
    And a specification that begins with the small system tree:
      """
        - {name: first, shell: echo hello > said}
        - {name: second, shell: echo more >> said}
        - create-artifact: {name: result, files: [said]}
      """
    And it has been built
    When the clock of everything in the store is 100 hours <direction>
    And it is built again
    Then the outcome is succeeded
    And no step ran
    And no duration is negative
    When in contractor.yaml, "echo more" becomes "echo other"
    And it is built again
    Then the outcome is succeeded
    And no duration is negative
    And the steps that ran are: second, create-artifact result
    When this is run: contractor list
    Then the exit code is 0
    And it prints no negative duration
    When this is run: contractor gc --keep-days 1000
    Then the exit code is 0

    Examples:
      | direction |
      | ahead     |
      | behind    |

  Scenario: A source whose files are from the future
    Given a file "src/input" that says "here"
    And the file "src/input" is from the year 2100
    And a specification:
      """
      source: {path: src}
      steps:
        - create-systree: {base: debian-12}
        - {name: read, shell: cat input}
        - create-artifact: all
      """
    And it has been built
    When it is built again
    Then the outcome is succeeded
    And no step ran
    When it is built with: --fresh
    Then the artifact all is the same as in the first build

  Scenario Outline: A build goes on when <nobody>: its outcome is what counts
    Given a specification that begins with the base:
      """
        - {name: first, shell: "for i in 1 2 3 4 5; do echo line $i; sleep 0.05; done"}
        - {name: second, shell: echo done > done}
        - create-artifact: {name: result, files: [done]}
      """
    When it is built, <how>
    Then the outcome is succeeded
    And the artifact result holds:
      | done | done\n |

    Examples:
      | nobody               | how                                    |
      | nobody reads it      | and whoever read what it says has gone |
      | nothing can be said  | with the disk full for what it says    |

  Scenario: Events that cannot be written are an error at the end, and not a traceback
    Given a specification that begins with the base:
      """
        - {name: first, shell: echo done > done}
      """
    When it is built with: --events /dev/full
    Then the exit code is 6
    And it says "/dev/full"
    And there is a hint and no traceback

  Scenario: An artifact whose links point out comes back as it was
    Given a specification that begins with the base:
      """
        - {name: make, shell: mkdir out; ln -s /usr/share/doc out/absolute; ln -s ../../usr out/up; echo x > out/file}
        - create-artifact: {name: result, files: [out]}
        - empty-workspace:
        - unpack-artifact: result
        - {name: look, shell: readlink out/absolute out/up; cat out/file}
      """
    When it is built
    Then the outcome is succeeded
    And the log has "/usr/share/doc\n../../usr\nx"
