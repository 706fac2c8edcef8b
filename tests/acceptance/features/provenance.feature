Feature: What was built and done can be proven to others

  Background:
    Given a specification:
      """
      parameters: {WORD: {default: hello}}
      steps:
        - create-systree: {base: debian-12}
        - {name: make, shell: 'mkdir out; echo "$WORD" > out/word; ln -s word out/link'}
        - create-artifact: {name: packed, files: [out]}
        - create-artifact: {name: plain, files: [out], format: tar}
        - create-artifact: {name: folder, files: [out], format: directory}
      """

  Scenario: Copies are verified by their provenance
    When it is built with: -o $TOP/copies
    And this is run: contractor provenance verify ../copies/packed.tar.zst.intoto.jsonl
    Then the exit code is 0
    And it prints "verified: ../copies/packed.tar.zst (its sha256)"
    And it prints "hello"
    When this is run: contractor provenance verify ../copies/folder.intoto.jsonl ../copies/folder ../copies/plain.tar
    Then the exit code is 0
    And it prints "verified: ../copies/folder (its files, links and modes)"
    When this is run: contractor provenance verify last
    Then the exit code is 0

  Scenario: Whoever has nothing but the files and the public key verifies them
    When it is built with: -o $TOP/copies
    And this is run: contractor keys export -o ../own.pub
    And everything but the copies and the public key is gone
    And this is run: contractor provenance verify ../copies/plain.tar.intoto.jsonl
    Then the exit code is 2
    And it says "signed by a key that is not trusted"
    And there is a hint and no traceback
    When this is run: contractor provenance verify ../copies/plain.tar.intoto.jsonl --trust ../own.pub
    Then the exit code is 0

  Scenario: A byte makes the difference
    When it is built with: -o $TOP/copies
    And a byte of copies/plain.tar is another
    And this is run: contractor provenance verify ../copies/plain.tar.intoto.jsonl
    Then the exit code is 3
    And there is no traceback
    When it is built with: -o $TOP/copies
    And a byte of copies/plain.tar.intoto.jsonl is another
    And this is run: contractor provenance verify ../copies/plain.tar.intoto.jsonl
    Then the exit code is not 0
    And there is no traceback

  Scenario: The audit journal shows what was done to it
    Given a store of its own, with nothing in it
    And a file "a" that says "x"
    And a specification:
      """
      source: {path: .}
      steps:
        - create-artifact: {name: files, files: [a]}
      """
    When it is built
    And this is run: contractor audit verify
    Then the exit code is 0
    And it prints "whole: "
    When entry 2 of the audit journal is cut out
    And this is run: contractor audit verify
    Then the exit code is 3
    And it says "entry 2 is missing before line 2"
    When this is run: contractor audit accept --reason "a test"
    And this is run: contractor audit verify
    Then the exit code is 0
    And it says "known: entry 2 is missing before line 2 (accepted: a test)"
