Feature: A disk that is full, in each phase
  The store is on a small disk of its own. The system tree is a small one, of the machine's own sh and cat.

  @root-only
  Scenario: Less than what any build needs is refused before anything runs
    Given a small system tree
    And a store on a disk of 160 MB
    And a specification that begins with the small system tree:
      """
        - {name: write, shell: echo hello > said}
      """
    And all but 20 MB of the disk are taken
    When it is built
    Then the outcome is broken
    And it says "MiB are free where the store is"
    And there is a hint and no traceback
    When the disk has space again
    And it is built again
    Then the outcome is succeeded

  @root-only
  Scenario Outline: The disk gets full during <phase>
    Given a small system tree
    And a store on a disk of 160 MB
    And a specification that begins with the small system tree:
      """
        - {name: first, shell: echo hello > said}
        - create-artifact: {name: first, files: [said]}
        - <steps>
      """
    And all but 75 MB of the disk are taken
    When it is built
    Then the build ended as broken or out-of-limits
    And it says "<message>"
    And there is a hint and no traceback
    And no work of the build is left
    And everything finished in the store is whole
    When the disk has space again
    And in contractor.yaml, "90M" becomes "1k"
    And it is built again
    Then the outcome is succeeded
    And the steps that ran do not include first
    And the artifact first holds:
      | said | hello\n |

    Examples:
      | phase       | message       | steps                                                                              |
      | a script    | disk          | {name: fill, shell: head -c 90M /dev/zero > big}                                   |
      | the log     | log           | {name: fill, shell: head -c 90M /dev/zero}                                         |
      | slow writes | disk          | {name: fill, shell: head -c 90M /dev/urandom > big; sync}                          |

  @root-only
  Scenario: The disk gets full while an artifact is written
    Given a small system tree
    And a store on a disk of 300 MB
    And a specification that begins with the small system tree:
      """
        - {name: first, shell: head -c 60M /dev/urandom > big}
        - create-artifact: {name: first, files: [big]}
      """
    And all but 150 MB of the disk are taken
    When it is built
    Then the build ended as broken or out-of-limits
    And it says "disk"
    And there is a hint and no traceback
    And no work of the build is left
    And everything finished in the store is whole
    When the disk has space again
    And it is built again
    Then the outcome is succeeded

  @root-only
  Scenario: The disk gets full while the source is read
    Given a small system tree
    And a store on a disk of 160 MB
    And a file "src/big" of 25 MB that cannot be made smaller
    And a specification:
      """
      source: {path: src}
      steps:
        - create-artifact: all
      """
    And all but 20 MB of the disk are taken
    When it is built
    Then the exit code is 6
    And it says "No space left"
    And there is a hint and no traceback
    And no half-written file is left in the store
    When the disk has space again
    And it is built again
    Then the outcome is succeeded
