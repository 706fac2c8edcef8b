Feature: Incremental upgrade kits, of releases that are made here

  @both
  Scenario: Kits are built twice, in two stores, and are the same
    Given the example iuk
    When root and an ordinary user build its kits at the same time
    Then both made these kits, and the same SHA256SUMS over them: iuk_amd64_4.0_to_4.2.iuk iuk_amd64_4.1_to_4.2.iuk

  @root-only
  Scenario: The old release and a kit are the new release, as the kernel sees them
    Given the project is the example iuk
    When it is built with: -p SOURCE_DATE_EPOCH=1706745600 -p SOURCE_VERSIONS=4.0 --output $TOP/out
    Then the exit code is 0
    And in a mounted overlay of release-4.0 and the kit everything is as in release-4.2
    And the kit deletes: EFI/BOOT/fonts.cfg syslinux/splash.txt
    And everything in the kit is root's, and its format is 2

  Scenario Outline: What must be given is refused when it is <given>
    Given the project is the example iuk
    When it is built with: <options>
    Then the exit code is 2
    And it says "<words>"

    Examples:
      | given   | options                                                   | words                                    |
      | missing | --plain                                                   | SOURCE_DATE_EPOCH has no value           |
      | empty   | -p SOURCE_DATE_EPOCH=                                     | the value of SOURCE_DATE_EPOCH is empty  |
      | no time | -p SOURCE_DATE_EPOCH=tomorrow                             | SOURCE_DATE_EPOCH is an integer          |
      | blank   | -p SOURCE_DATE_EPOCH=1706745600 -p TOOL_COMMIT=           | the value of TOOL_COMMIT is empty        |
      | unknown | -p SOURCE_DATE_EPOCH=1706745600 -p TOOL_COMMIT=v9         | has no reference v9                      |
      | no list | -p SOURCE_DATE_EPOCH=1706745600 -p "SOURCE_VERSIONS=  "   | the value of SOURCE_VERSIONS is empty    |
