Feature: Without network
  `--offline` asks nobody for anything, not for planning either; what cannot be had is named before anything runs.

  Scenario: Each thing that would have asked is named, with a way out, before anything runs
    Given a specification that begins with the base:
      """
      - apt: [sl]
      - fetch: {url: "http://127.0.0.1:1/file.txt", sha256: 6ad0b3903de93e2c13b9a2abb96f13dab6ce0ad40df51ea92cb8df9bd6d9b7b6}
      - {name: download, network: [example.org], shell: "echo never runs"}
      """
    When it is built with: --offline
    Then the outcome is unavailable
    And it says "step 2, apt sl: it asks deb.debian.org, and is not locked"
    And it says "http://127.0.0.1:1/file.txt is not in the store"
    And it says "step 4, download: it asks example.org"
    And it says "contractor lock"
    And the steps that ran are none

  Scenario: A step with network gets offline what it got when it ran before
    Given a server that has the content
    And a specification that begins with the base:
      """
      - name: ask
        network: ["127.0.0.1:<PORT>"]
        shell: |
          exec 3<>/dev/tcp/127.0.0.1/3128
          printf 'GET http://127.0.0.1:<PORT>/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3
          cat <&3 | tail -n 1 > answer
      - create-artifact: {name: result, files: [answer]}
      """
    And it has been built
    When it is built with: --offline --fresh
    Then the outcome is succeeded
    And the artifact result is the same as in the first build
    And all that the step asked for came from the store

  Scenario: A commit is fetched once, and the repository is never asked again
    Given a git repository on a server, with a tag v1
    And a specification:
      """
      source: {git: {url: "http://127.0.0.1:<PORT>/r.git", ref: v1}, to: src}
      steps:
        - create-artifact: {name: result, files: [src]}
      """
    When it is built with: --offline
    Then the exit code is 5
    And it says "which commit v1 of http://127.0.0.1:<PORT>/r.git is must be asked there"
    And there is a hint and no traceback
    When it is locked
    And the tag is moved to another commit
    And it is built with: --locked --offline
    Then the outcome is succeeded
    And the artifact result is a checkout with a program and a link
    When the repository is gone
    And it is built with: --locked --offline --fresh
    Then the outcome is succeeded
    And the artifact result is the same as in the first build

  Scenario: A commit that is not there is told
    Given a git repository on a server, with a tag v1
    And a specification:
      """
      source: {git: {url: "http://127.0.0.1:<PORT>/r.git", ref: 1111111111111111111111111111111111111111}, to: src}
      steps:
        - create-artifact: {name: result, files: [src]}
      """
    When it is built
    Then the outcome is rejected
    And it says "has no commit 1111111111111111111111111111111111111111"
    And there is a hint and no traceback
    When it is built with: --offline
    Then the outcome is unavailable
    And it says "commit 111111111111 of http://127.0.0.1:<PORT>/r.git is not in the store"

  Scenario: What a step sends past the proxy is told, not only lost
    Given a specification that begins with the base:
      """
      - name: past
        network: [example.org]
        shell: |
          (exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null || true
          (exec 3<>/dev/tcp/192.0.2.1/443) 2>/dev/null || true
      - name: without
        shell: exec 3<>/dev/tcp/192.0.2.1/80
      """
    When it is built
    Then the outcome is failed
    And it says "step 2, past: 2 connections past the proxy failed"
    And it says "it tried to reach the network, and has none: 1 connection"
