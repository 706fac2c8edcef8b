Feature: A watched build is built again when what it reads is saved

  Scenario: A saved source is built from the first step that reads it, a saved specification from its first other step
    Given a file "src/input" that says "first\n"
    And a specification:
      """
      source: {path: src, to: src}
      steps:
        - create-systree: {base: debian-12}
        - {name: use, shell: cat src/input}
        - {name: say, shell: echo good}
      """
    When it is built and watched
    And "src/input" is saved as editors do, with "second\n"
    Then the next build of it is succeeded, and ran: source src, use, say
    And it says meanwhile "changed: src/input"
    When in contractor.yaml, "echo good" becomes "echo better"
    Then the next build of it is succeeded, and ran: say
    When in contractor.yaml, "shell: echo" becomes "shel: echo"
    Then it says meanwhile "unknown key"
    When in contractor.yaml, "shel: echo better" becomes "shell: exit 5"
    Then the next build of it is failed, and ran: say
    And Ctrl-C ends it with exit code 1

  Scenario: What the build itself writes into the source, and what is no part of it, starts no build
    Given a file "input" that says "first\n"
    And the store is inside the project
    And a specification:
      """
      source: {path: .}
      steps:
        - create-artifact: {name: result, files: [input]}
      """
    When it is built and watched with: --output out
    And "out/other" is saved as editors do, with "ours\n"
    And "state/store/other" is saved as editors do, with "ours\n"
    And "input" is touched as an editor opens it
    Then no other build of it starts
    When "input" is saved as editors do, with "second\n"
    Then the next build of it is succeeded, and ran: source ., create-artifact result
    And Ctrl-C ends it with exit code 0

  Scenario: A change while it is built is built after it, and Ctrl-C in the middle of a build aborts it
    Given a file "src/input" that says "first\n"
    And a specification:
      """
      source: {path: src}
      steps:
        - create-systree: {base: debian-12}
        - {name: slow, shell: "cat input; echo slowly; sleep 1; cat input"}
      """
    When it is built and watched, and "src/input" is saved with "second\n" at "slowly"
    Then the next build of it is succeeded, and ran: source src, slow
    When "src/input" is saved as editors do, with "third\n"
    Then Ctrl-C at the next "slowly" ends it with exit code 130
