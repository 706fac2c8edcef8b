Feature: The examples give the same artifacts, whoever builds them and wherever

  @both
  Scenario Outline: <example> is built by root and by an ordinary user, in two stores
    Given the example <example>
    When root and an ordinary user build it, each in an own store
    Then both succeed, and make the same <artifact>
    And neither runs anything when it builds again

    Examples:
      | example        | artifact   |
      | make-hello     | make-hello |
      | python-wheel   | wheel      |
      | debian-package | hello-deb  |

  @both
  Scenario: The base is the same, bit for bit
    When root and an ordinary user list their artifacts
    Then both have the same debian-12
