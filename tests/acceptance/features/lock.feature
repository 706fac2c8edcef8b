Feature: What is locked stays as it is
  `contractor lock` writes down which bytes the packages are; a build under it gets these, whatever the mirror has now.

  @user-only
  Scenario: A locked build installs what was locked, without asking anybody
    Given a mirror with greeter 1.0
    And a specification that installs from it:
      """
      - apt: [greeter, <OWN>]
      - shell: cat /usr/share/versions/greeter > version
      - create-artifact: {name: result, files: [version]}
      """
    When it is locked
    Then it prints "2 bases"
    When the mirror has greeter 2.0 instead
    And the mirror is asked no more
    And it is built with: --locked --offline
    Then the outcome is succeeded
    And the artifact result holds:
      | version | 1.0\n |
    And the mirror was not asked
    When it is built with: --locked --offline --fresh
    Then the outcome is succeeded
    And the artifact result is the same as in the first build
    And all that the step asked for came from the store
    And the mirror was not asked
    When it is built with: --unlocked
    Then the artifact result holds:
      | version | 2.0\n |

  @user-only
  Scenario: One package moves and all others stay
    Given a mirror with greeter 1.0 (greeter-data), greeter-data 1.0, other 1.0
    And a specification that installs from it:
      """
      - apt: [greeter, other, <OWN>]
      - shell: cd /usr/share/versions; cat greeter greeter-data other > /workspace/versions
      - create-artifact: {name: result, files: [versions]}
      """
    And it has been locked
    And the lock is noted
    And the mirror has greeter 2.0 (greeter-data), greeter-data 2.0, other 2.0 instead
    When it is locked again
    Then it prints "nothing changed"
    And the lock is as it was
    When it is locked with: --check --update greeter other
    Then the exit code is 3
    And it prints "greeter:amd64"
    And the lock is as it was
    When it is locked with: --update greeter
    Then it prints "1.0  ->  2.0"
    When the mirror is asked no more
    And it is built with: --locked --offline
    Then the artifact result holds:
      | versions | 2.0\n1.0\n1.0\n |
    When it is built with: --locked --offline --fresh
    Then the outcome is succeeded
    And the artifact result holds:
      | versions | 2.0\n1.0\n1.0\n |
    And the mirror was not asked
    When the mirror has greeter 3.0 (greeter-data), greeter-data 3.0, other 3.0 instead
    And it is locked with: --update other
    Then the exit code is 0
    When it is built with: --locked --offline
    Then the artifact result holds:
      | versions | 2.0\n1.0\n3.0\n |
    When the mirror has greeter 4.0 (greeter-data (>= 4.0)), greeter-data 4.0, other 4.0 instead
    And it is locked with: --update greeter
    Then it says "greeter needs greeter-data (>= 4.0): greeter-data moves with it"
    And it prints "1.0  ->  4.0"
    When the mirror is asked no more
    And it is built with: --locked --offline --fresh
    Then the artifact result holds:
      | versions | 4.0\n4.0\n3.0\n |
    And the mirror was not asked
    When it is locked with: --update gretter
    Then the exit code is 2
    And it says "the lock has no package gretter"
    And it says "hint: did you mean greeter?"
    When it is locked with: --update libc6
    Then the exit code is 2
    And it says "but by its base debian-12"
    And it says "`--update libc6 --base debian-12` moves it there"

  @user-only
  Scenario: A package that is added leaves the others where they are
    Given a mirror with greeter 1.0, other 1.0
    And a specification that installs from it:
      """
      - apt: [greeter, <OWN>]
      - shell: cat /usr/share/versions/greeter > version
      - create-artifact: {name: result, files: [version]}
      """
    And it has been locked
    And the mirror has greeter 2.0, other 2.0 instead
    And in contractor.yaml, "[greeter," becomes "[greeter, other,"
    When it is built with: --locked
    Then the exit code is 2
    And it says "packages grew by other"
    And it says "hint: `contractor lock` brings it up to date"
    When it is locked with: --check
    Then the exit code is 2
    And it says "packages grew by other"
    When it is locked again
    Then it prints "other:amd64"
    When it is built with: --locked --offline
    Then the artifact result holds:
      | version | 1.0\n |

  @user-only
  Scenario: On another machine the lock says which packages, as long as the mirror has them
    Given a mirror with greeter 1.0
    And a specification that installs from it:
      """
      - apt: [greeter, <OWN>]
      - shell: cat /usr/share/versions/greeter > version
      - create-artifact: {name: result, files: [version]}
      """
    And it has been locked
    When of what was fetched, all files are gone from the store
    And it is built with: --locked --offline --fresh
    Then the outcome is unavailable
    And it says "4 of 4 files that the lock names are not in the store"
    When the mirror has greeter 1.0, unrelated 1.0 instead
    And it is built with: --locked --fresh
    Then the outcome is succeeded
    And the artifact result holds:
      | version | 1.0\n |
    When of what was fetched, all files are gone from the store
    And the mirror has greeter 2.0 instead
    And it is built with: --locked --fresh
    Then the outcome is broken
    And it says "the mirror has moved on"
    And there is a hint and no traceback

  @user-only
  Scenario: A mirror that serves other bytes under the same name, and one that has lost a package
    Given a mirror with greeter 1.0
    And a specification that installs from it:
      """
      - apt: [greeter, <OWN>]
      - shell: cat /usr/share/versions/greeter
      """
    And it has been locked
    When of what was fetched, the packages are gone from the store
    And the mirror has other bytes under the same names
    And it is built with: --locked --fresh
    Then the outcome is broken
    And it says "has other bytes under a name that the lock has"
    And it says "other bytes: sha256"
    And there is a hint and no traceback
    When the mirror has greeter 2.0 instead
    And it is built with: --locked --fresh
    Then the outcome is broken
    And it says "names what the mirror does not have any more"
    And it says "greeter_1.0_amd64.deb: 404"
    And there is a hint and no traceback

  @user-only
  Scenario: A Release file that has expired stops a build, but not a locked one
    Given a mirror with greeter 1.0
    And the mirror's Release file is valid for 15 seconds
    And a specification that installs from it:
      """
      - apt: [greeter, <OWN>]
      - shell: cat /usr/share/versions/greeter > version
      - create-artifact: {name: result, files: [version]}
      """
    And it has been locked
    When its time is over
    And it is built with: --locked --offline --fresh
    Then the outcome is succeeded
    And the artifact result holds:
      | version | 1.0\n |
    When it is built with: --unlocked --fresh
    Then the outcome is broken
    And it says "the mirror's Release file has expired"
    And there is a hint and no traceback
    When the mirror's Release file is from tomorrow
    And it is built with: --unlocked --fresh
    Then the outcome is broken
    And it says "is from the future"
    And it says "clock is wrong"

  @user-only
  Scenario: A base that comes out otherwise than it was locked is no success
    Given a specification that begins with the base:
      """
      - shell: echo hello
      """
    And it has been locked
    When in the lock, the digest of the base debian-12 is another
    And it is built with: --locked --fresh
    Then the exit code is 3
    And it says "the base debian-12 came out as"
    And it says "and not as it was locked"
    When it is built with: --fresh
    Then the exit code is 0
    And it says "the base debian-12 came out as"

  Scenario: What a lock does not cover is told, and refused where that is asked for
    Given a specification that begins with the base:
      """
      - shell: echo hello
      """
    And it has been locked
    And in contractor.yaml, "- shell: echo hello" becomes "- apt: [hello]"
    When it is built with: --locked
    Then the exit code is 2
    And it says "step 'apt hello' is not in the lock"
    When this is run: contractor plan
    Then it prints "deb.debian.org (not locked)"
    And it prints "which does not cover all of it"

  Scenario Outline: What is no lock is told with its place
    Given a specification that begins with the base:
      """
      - shell: echo hello
      """
    And a file "contractor.lock" that says "<content>"
    When it is built with: --locked
    Then the exit code is 2
    And it says "contractor.lock"
    And there is a hint and no traceback

    Examples:
      | content                           |
      | nonsense                          |
      | {"version": 99, "name": "x"}      |
      | {"version": 1, "name": 5}         |
      | {"version": 1, "name": "x", "bases": [{"name": "b", "arch": "a", "digest": "../../x"}]} |
