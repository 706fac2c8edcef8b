Feature: A secret is there for the step that asks for it, and nowhere else

  Scenario: A secret can be read in its step alone, and never shows
    Given a secret TOKEN in a file outside the project: "correct-horse-battery"
    And a specification that begins with the base:
      """
        - name: uses it
          secrets: [TOKEN]
          shell: |
            test "$(cat /run/secrets/TOKEN)" = correct-"horse"-battery
            cat /run/secrets/TOKEN; echo
            ! env | grep -q horse-battery
            ! cat /proc/*/cmdline /proc/*/environ 2>/dev/null | grep -q horse-battery
            touch used
        - name: does not
          shell: test ! -e /run/secrets/TOKEN; test ! -e /run/secrets; test -e used
      """
    When it is built with: --secret TOKEN=$TOKEN
    Then the outcome is succeeded
    And no secret is anywhere: not in what was said, the events, the record, the log or the store
    And in the log the secret was replaced 1 times

  Scenario: A secret of several lines, and one that is written byte by byte
    Given a secret KEY in a file outside the project: "first-line-of-it\nsecond-line-of-it\nthird-line-of-it\n"
    And a secret WORD in a file outside the project: "abracadabra"
    And a specification that begins with the base:
      """
        - name: echoes
          secrets: [KEY, WORD]
          shell: |
            cat /run/secrets/KEY
            tail -n 1 /run/secrets/KEY
            while read -r -n 1 letter; do printf %s "$letter"; sleep 0.02; done < /run/secrets/WORD || true
            printf '\nthe end, abra'
      """
    When it is built with: --secret KEY=$KEY --secret WORD=$WORD
    Then the outcome is succeeded
    And no secret is anywhere: not in what was said, the events, the record, the log or the store
    And in the log the secret was replaced 3 times
    And the log has "the end, abra"

  Scenario: A secret that begins as another does
    Given a secret SHORT in a file outside the project: "opensesame"
    And a secret LONG in a file outside the project: "opensesame-and-more"
    And a specification that begins with the base:
      """
        - name: echoes
          secrets: [SHORT, LONG]
          shell: |
            head -c 10 /run/secrets/LONG; sleep 0.2; tail -c +11 /run/secrets/LONG; echo
      """
    When it is built with: --secret SHORT=$SHORT --secret LONG=$LONG
    Then the outcome is succeeded
    And it does not say "-and-more"

  Scenario: A secret that a step leaves in its workspace
    Given a secret TOKEN in a file outside the project: "correct-horse-battery"
    And a specification that begins with the base:
      """
        - name: forgets it
          secrets: [TOKEN]
          shell: |
            mkdir conf
            base64 /run/secrets/TOKEN > conf/auth
        - create-artifact: out
      """
    When it is built with: --secret TOKEN=$TOKEN --keep
    Then the outcome is rejected
    And it says "the step left the secret TOKEN in the workspace: conf/auth (in base64)"
    And it says "the workspace is not kept, for it has the secret TOKEN: conf/auth (in base64)"
    And no secret is anywhere: not in what was said, the events, the record, the log or the store

  Scenario: A secret whose file is in the project
    Given a file "key" that says "correct-horse-battery"
    And a specification:
      """
      source: {path: .}
      steps:
        - create-systree: {base: debian-12}
        - {name: uses it, secrets: [KEY], shell: test -s /run/secrets/KEY}
      """
    When it is built with: --secret KEY=$PROJECT/key
    Then the exit code is 2
    And it says "project/key is part of the source ., which is stored as it is"

  Scenario: A secret that was not given
    Given a specification that begins with the base:
      """
        - {name: uses it, secrets: [TOKEN], shell: cat /run/secrets/TOKEN}
      """
    When it is built
    Then the outcome is rejected
    And it says:
      """
      the step 'uses it' needs the secret TOKEN, which was not given
      hint: contractor build --secret TOKEN=FILE
      """

  Scenario: A secret whose file is not there
    Given a specification that begins with the base:
      """
        - {name: uses it, secrets: [TOKEN], shell: cat /run/secrets/TOKEN}
      """
    When it is built with: --secret TOKEN=$TOP/no-such-file
    Then the exit code is 2
    And it says "no-such-file cannot be read"

  Scenario: A secret that is longer than what is read of it is refused, not cut
    Given a secret LONG of 3 MB in a file outside the project
    And a specification that begins with the base:
      """
        - {name: uses it, secrets: [LONG], shell: wc -c < /run/secrets/LONG}
      """
    When it is built with: --secret LONG=$LONG
    Then the exit code is 2
    And it says "LONG"
    And there is a hint and no traceback
