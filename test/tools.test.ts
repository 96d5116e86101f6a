// Which tools are denied: the real names of four agents, spellings that try to get past, and the ways to allow one again.
import { describe, expect, test } from 'vitest'
import { defaultDeniedTools, readConfig } from '../src/config.ts'
import { deniedByOsprey } from '../src/cli/osprey.ts'
import { noToolLimits, shownTool, ToolRules, type AllowedDeniedTool } from '../src/tools.ts'

const rules = (
  allowed_denied_tools: AllowedDeniedTool[] = [],
  denied_tools = defaultDeniedTools(),
): ToolRules => new ToolRules({ denied_tools, allowed_denied_tools })
const isDenied = (tool: string, by = rules()): boolean => by.denial(tool, 'bot') !== undefined
const list = (text: string): string[] => text.trim().split(/\s+/)

/** Claude Code 2.1, OpenCode 1.18, Gemini CLI 0.61 and Codex 0.169: what they call their tools. */
const denied = {
  shells: list(
    `Bash BashOutput KillShell KillBash PowerShell REPL Monitor TaskOutput TaskStop bash run_shell_command exec_command write_stdin`,
  ),
  network: list(
    `WebFetch WebSearch RemoteTrigger PushNotification Artifact webfetch websearch google_web_search web_fetch web_search`,
  ),
  'escape in time': list(`CronCreate CronDelete CronList ScheduleWakeup`),
  'agents by command': list(`spawn_agent`),
  'older and others': list(
    `Bash(git:*) shell sh zsh terminal run_in_terminal http_request curl puppeteer_navigate selenium`,
  ),
}
const passed = {
  multiply: list(`Agent Task Workflow SendMessage`),
  files: list(
    `Read Write Edit MultiEdit NotebookEdit Glob Grep LS LSP read edit glob grep lsp write patch apply_patch list view_image`,
  ),
  'files, Gemini': list(`write_file replace read_file read_many_files list_directory grep_search`),
  plans: list(
    `TodoWrite TaskCreate TaskGet TaskUpdate TaskList EnterPlanMode ExitPlanMode todowrite task write_todos update_plan enter_plan_mode`,
  ),
  people: list(
    `AskUserQuestion SendUserMessage SendUserFile question ask_user request_user_input update_topic`,
  ),
  others: list(
    `Skill skill activate_skill ToolSearch EnterWorktree ExitWorktree ListMcpResourcesTool StructuredOutput batch tracker_create`,
  ),
  forges: list(
    `mcp__forgejo__list_issues mcp__forgejo__create_webhook mcp__github__push_files mcp__forgejo__list_artifacts git make git:push`,
  ),
  'parts of words': list(
    `refresh publish brush skills reply replicate prefetched cobweb executive synchronize`,
  ),
}

describe('the tools of four agents', () => {
  test.each(Object.entries(denied))('%s are denied', (_group, tools) => {
    expect(tools.filter(tool => !isDenied(tool))).toEqual([])
  })

  test.each(Object.entries(passed))('%s pass', (_group, tools) => {
    expect(tools.filter(tool => isDenied(tool))).toEqual([])
  })

  test('control: compared whole, half of them would pass', () => {
    const names = new Set(defaultDeniedTools().map(name => name.toLowerCase()))
    const missed = Object.values(denied)
      .flat()
      .filter(tool => !names.has(tool.toLowerCase()))
    expect(missed).toEqual(
      expect.arrayContaining(['run_shell_command', 'exec_command', 'web_fetch', 'Bash(git:*)']),
    )
  })

  test("what Osprey denies is denied by the default, all of Playwright's tools too", () => {
    const playwright =
      list(`click close console_messages drag evaluate file_upload fill_form handle_dialog hover install navigate navigate_back
      network_requests press_key resize run_code select_option snapshot tabs take_screenshot type wait_for`)
    const all = [
      ...deniedByOsprey,
      ...playwright.flatMap(tool => [
        `mcp__plugin_playwright_playwright__browser_${tool}`,
        `browser_${tool}`,
      ]),
    ]
    expect(all.filter(tool => !isDenied(tool))).toEqual([])
  })
})

describe('spellings', () => {
  test.each([
    [
      'case',
      list(
        `BASH bAsH bash BaSh WEBFETCH Webfetch wEbFeTcH KILLSHELL killshell BASHOUTPUT bashoutput TASKOUTPUT croncreate`,
      ),
    ],
    [
      'separators',
      list(
        `b_a_s_h ba-sh web-fetch web.fetch web:fetch web/fetch power_shell Power-Shell TASK_OUTPUT task-stop _bash_ --bash`,
      ),
    ],
    [
      'camelCase',
      list(`bashOutput runBash runBASH BASHoutput BASHOutput MCPBash killBASHNow HTTPGet getHTTP`),
    ],
    ['digits', list(`bash2 2bash bash_2 http2 web3search sh1 Bash5Output`)],
    ['plurals', list(`shells run_commands terminals https_get bashes fetches browsers`)],
    [
      'servers',
      list(`mcp__x__Bash mcp__bash__x mcp__x__run_bash_now mcp__shell mcp__x__TaskOutput x.y.bash`),
    ],
    ['full width', ['Ｂａｓｈ', 'ｗｅｂ＿ｆｅｔｃｈ', 'Bash（git:*）', 'ＢＡＳＨ']],
    ['spaces', [' Bash', 'Bash ', 'Bash (git)', 'Read Bash', 'B ash', 'web fetch']],
  ])('%s hide nothing', (_kind, tools) => {
    expect(tools.filter(tool => !isDenied(tool))).toEqual([])
  })

  test.each([
    ['Cyrillic look-alikes', ['B\u0430sh', 'W\u0435bFetch', '\u0405hell', 'R\u0435ad']],
    [
      'other alphabets',
      ['werkzeug_\u00f6ffnen', '\u0392ash', 'ba\u0301sh', '\u{1d4d1}\u{1d4ea}\u{1d4fc}\u{1d4f1}'],
    ],
    [
      'invisible characters',
      ['Ba\u200bsh', 'Ba\u00adsh', '\u202eRead', 'Read\ufeff', 'Read(\u200b)', 'Ba\u2060sh', 'Ba\u180esh'],
    ],
    ['control characters', ['Read\nBash', 'Ba\0sh', 'Read\t', 'Read(a\nBash)', 'Read\u2028Write']],
    [
      'wildcards',
      [
        '*',
        'Ba*',
        'W?bX',
        'mcp__forgejo__*',
        '[A-Z]ead',
        '{Read}',
        'Re|ad',
        '.*',
        '^Read$',
        'Re+ad',
        '!Read',
        '~Read',
        '%',
      ],
    ],
    ['lists in one name', ['Read,Edit', 'Read;Edit', '"Read"', "Read'", 'Read\\Edit', 'Read,Bash']],
    [
      'arguments out of place',
      [
        'Read(x),Edit(y)',
        'Read((),Edit(x))',
        'Read(x',
        'Read)x(',
        'Read(x)y',
        '(Read)',
        '()',
        'Read(a(b))',
        'Read(x)(y)',
      ],
    ],
    ['whitespace', ['Read Edit', ' Read', 'Read ', 'Read (x)', 'Read\u00a0Edit', 'Read\u3000']],
    ['options', ['--dangerously-skip-permissions', '-x', '-', '@server', './run', ':x']],
    [
      'groups',
      [
        'all',
        'default',
        'ANY',
        'Default(x)',
        'mcp__forgejo',
        'mcp__',
        'mcp__forgejo__',
        'MCP__my_server',
        'mcp____x',
      ],
    ],
    ['no name', ['', ' ', '___', '::', '-']],
  ])('%s are denied', (_kind, tools) => {
    expect(tools.filter(tool => !isDenied(tool))).toEqual([])
  })

  test('of a tool with arguments only the name counts', () => {
    const tools = [
      'Read(/srv/bash/*)',
      'Edit(src/**/web.ts)',
      'Read(*)',
      'Read(größe.txt)',
      'Read(a, "b"; c)',
      'Read()',
      'mcp__x__read(*)',
    ]
    expect(tools.filter(tool => isDenied(tool))).toEqual([])
  })

  test('a reason names the entry, or what is not plain', () => {
    const reason = (tool: string): string | undefined => rules().denial(tool, 'bot')
    expect(reason('mcp__x__Web-Fetch')).toBe('it matches "web" of the denied tools')
    expect(reason('ArtifactList')).toBe('it matches the pattern "Artifact*" of the denied tools')
    expect(reason('B\u0430sh')).toBe(
      'its name contains a character other than ASCII, which could imitate another name',
    )
    expect(reason('Ba*(x)')).toBe(
      'its name must consist of letters, digits and _ - . : / @ and begin with a letter, a digit or _; anything else could stand for other tools',
    )
    expect(reason('mcp__forgejo')).toBe(
      'its name stands for several tools; each must be listed by its own name',
    )
    expect(reason('Ba\u200bsh')).toBe('it contains a control character or an invisible one')
    expect(reason('Read(x),Edit(y)')).toBe(
      'it must be a name, or a name with arguments in one pair of parentheses at the end',
    )
    expect(shownTool('B\u0430sh')).toBe(String.raw`"B\u0430sh"`)
  })
})

describe('entries', () => {
  test.each([
    ['a word', 'deploy', ['deploy', 'run_deploy', 'DeployNow', 'deploys'], ['deployer', 'redeploy']],
    [
      'a name',
      'TaskGet',
      ['TaskGet', 'task_get', 'mcp__x__taskGet', 'TASKGET'],
      ['Task', 'TaskCreate', 'GetTask', 'TaskXGet'],
    ],
    ['a name with digits', 's3', ['s3', 's3_list', 'S3Get', 'list-s3'], ['s', 's_list', 's4', 's33']],
    [
      'a pattern',
      'mcp__git__*',
      ['mcp__git__push', 'mcp-git-pull', 'MCP__GIT__X'],
      ['mcp__github__push', 'x_mcp__git__push', 'git'],
    ],
    [
      'a pattern in camelCase',
      'Task*',
      ['Task', 'TaskGet', 'TASKGET', 'task_get'],
      ['MultiTask', 'mcp__x__TaskGet'],
    ],
    [
      'a pattern with parts',
      'a*b*c',
      ['a_b_c', 'aXbYc', 'abc', 'a_b_b_c_c'],
      ['a_c_b', 'ab', 'a_b_c_d', 'ac'],
    ],
    ['a pattern whose ends overlap', 'abc*bcd', ['abcbcd', 'abc_x_bcd'], ['abcd']],
    ['a pattern of an end', '*_push', ['git_push', 'mcp__git__push', 'GitPush'], ['push_git', 'pushed']],
    ['everything', '*', ['Read', 'x'], []],
    ['full width', 'ｄｅｐｌｏｙ', ['deploy'], ['x']],
  ])('%s: %s', (_kind, entry, hits, misses) => {
    const by = rules([], [entry])
    expect(hits.filter(tool => !isDenied(tool, by))).toEqual([])
    expect(misses.filter(tool => isDenied(tool, by))).toEqual([])
  })

  test('of the configuration are added to the default', () => {
    const { denied_tools } = readConfig({}, { denied_tools: ['deploy', 'mcp__git__*', 'bash'] })
    expect(denied_tools).toEqual([...defaultDeniedTools(), 'deploy', 'mcp__git__*'])
    expect(readConfig({}, { denied_tools: [] })).toMatchObject({
      denied_tools: defaultDeniedTools(),
      allowed_denied_tools: [],
    })
  })

  test.each(['Bash(git:*)', '__', 'größe', ' ', 'a\nb'])('%j is refused, with what is expected', entry => {
    expect(() => readConfig({}, { denied_tools: ['ok', entry] })).toThrow(
      /^configuration: denied_tools\.1 must be a word \(shell\), a name \(TaskOutput\) or a pattern with \* \(mcp__git__\*\), .*; found "/,
    )
  })
})

describe('a denied tool is allowed', () => {
  test.each([
    [
      'Bash',
      ['Bash', 'bash', 'Bash(git:*)', 'Ｂａｓｈ'],
      ['BashOutput', 'mcp__x__Bash', 'Ba-sh', 'Read,Bash', 'Bash(a),WebFetch', 'Bash\n'],
    ],
    ['Bash(git:*)', ['Bash(git:*)'], ['Bash', 'Bash(rm:*)', 'Bash(git:*),Bash']],
    [
      'mcp__forgejo__*',
      ['mcp__forgejo__*', 'mcp__forgejo__run_command'],
      ['mcp__x__bash', 'mcp__forgejo__x,Bash', 'mcp__forgejo__x Bash', 'mcp__*'],
    ],
    ['*', ['Bash', 'WebFetch', '*'], ['Ba*', 'B\u0430sh', 'Read(x),Bash(y)']],
    ['B\u0430sh', ['B\u0430sh'], ['Bash']],
  ])('by %j', (tool, allowed, still) => {
    const by = rules([{ tool }])
    expect(allowed.filter(each => isDenied(each, by))).toEqual([])
    expect(still.filter(each => !isDenied(each, by))).toEqual([])
  })

  test('for one bot only; before one is chosen it may be that one', () => {
    const by = rules([{ bot_id: 'trusted', tool: 'Bash' }, { tool: 'WebFetch' }])
    expect(by.denial('Bash', 'trusted')).toBeUndefined()
    expect(by.denial('Bash', 'bot')).toBeDefined()
    expect(by.denial('Bash', undefined)).toBeUndefined()
    expect([by.exceptions('trusted'), by.exceptions('bot')]).toEqual([['Bash', 'WebFetch'], ['WebFetch']])
  })

  test('not by the lists of triggers and bots, which are only cut', () => {
    const bot = { id: 'bot', tools: ['Read', 'Bash'] }
    expect(rules().permit(['Bash', 'Read', 'Edit'], bot)).toEqual({
      allowed: ['Read'],
      cut: [
        { tool: 'Bash', reason: 'it matches "bash" of the denied tools' },
        { tool: 'Edit', reason: 'bot bot does not list it in its tools' },
      ],
    })
    expect(rules([{ tool: 'Edit' }]).permit(['Edit'], bot).allowed).toEqual([])
    expect(rules().permit(undefined, bot)).toMatchObject({ allowed: ['Read'], cut: [{ tool: 'Bash' }] })
    expect(rules().permit(undefined, { id: 'bot' })).toEqual({ allowed: undefined, cut: [] })
  })

  test('without limits only names that are not plain are denied', () => {
    expect(new ToolRules(noToolLimits).permit(['Bash', 'Ba*'], undefined).allowed).toEqual(['Bash'])
  })
})

test('no pattern makes a name slow', () => {
  // With a backtracking expression this took longer than anybody waits.
  const by = rules([{ tool: `${'a*'.repeat(60)}b` }], [`${'a*'.repeat(60)}b`, 'bash'])
  expect(isDenied('a'.repeat(128), by)).toBe(false)
  expect(isDenied(`bash_${'a'.repeat(120)}`, by)).toBe(true)
})

test('a tool is judged by its name however it is spelled', () => {
  const judged = rules()
  const separators = ['_', '-', '.', ':', '__', '1', '/']
  for (const word of defaultDeniedTools().filter(entry => /^[a-z]+$/.test(entry)))
    for (const separator of separators)
      for (const tool of [word, word.toUpperCase(), word[0]!.toUpperCase() + word.slice(1)])
        for (const spelled of [`x${separator}${tool}`, `${tool}${separator}x`, `${tool}${separator}Xyz(a)`])
          expect(isDenied(spelled, judged), spelled).toBe(true)
})
