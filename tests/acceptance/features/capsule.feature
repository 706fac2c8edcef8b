Feature: A capsule has all that a build needs
  One file with the specification, its lock and every input: unpacked anywhere, it builds the same without network.

  @user-only
  Scenario: From a capsule, an empty store and no network, the same artifacts, the base included
    Given a server that has the content
    And a file "src/main.c" that says "int main;\n"
    And an executable ".contractor/actions/stamp":
      """
      #!/bin/sh
      echo stamped > stamp
      """
    And a specification:
      """
      source: {path: src, to: src}
      steps:
        - create-systree: {base: debian-12}
        - apt: [hello]
        - fetch: {url: "http://127.0.0.1:<PORT>/file.txt", sha256: <CONTENT>}
        - custom: stamp
        - shell: hello > hello.txt
        - create-artifact: {name: result, files: [src, file.txt, stamp, hello.txt]}
      """
    When this is run: contractor capsule export
    Then the exit code is 2
    And it says "there is no lock"
    And it says "`contractor lock` writes it"
    When it is locked
    And it is built with: --locked
    Then the outcome is succeeded
    When this is run: contractor capsule export -o scenario.capsule
    Then it prints "1 source folder"
    When this is run: contractor capsule export BUILD -o again.capsule
    Then the two capsules are the same
    When the capsule is unpacked on a machine with an empty store and without network
    And it is built there with: --locked --offline
    Then the exit code is 0
    And the artifact result is the same as in the first build

  Scenario: A capsule that is not whole is refused, and nothing of it is used
    Given a file "src/main.c" that says "int main;\n"
    And a specification:
      """
      source: {path: src, to: src}
      steps:
        - create-artifact: {name: result, files: [src]}
      """
    And it has been locked
    When this is run: contractor capsule export -o scenario.capsule
    And the capsule loses its last 3000 bytes
    And this is run: contractor capsule import scenario.capsule elsewhere
    Then the exit code is 2
    And it says "the capsule scenario.capsule is refused: it ends in"
    And it says "at byte"
    And there is a hint and no traceback
    And there is no file "elsewhere" in the project
