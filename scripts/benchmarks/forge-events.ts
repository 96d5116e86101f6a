// Events as Forgejo sends them (indented by two, 3 to 10 KB) and triggers for them, the same for the same seed.

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

const words = [
  'api',
  'web',
  'mail',
  'search',
  'billing',
  'login',
  'docs',
  'queue',
  'metrics',
  'cache',
  'proxy',
  'editor',
  'export',
  'import',
  'report',
  'theme',
]
const labels = [
  'bug',
  'feature',
  'question',
  'help wanted',
  'security',
  'performance',
  'duplicate',
  'wontfix',
]
const organisations = 200
const perOrganisation = 500
export const repositories = organisations * perOrganisation
const people = 5000

export class Forge {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = chance(seed)
  }

  below(count: number): number {
    return Math.floor(this.#next() * count)
  }

  /** Small numbers come more often, as with repositories and people of a forge. */
  skewed(count: number): number {
    return Math.floor(this.#next() ** 3 * count)
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  repository(index = this.skewed(repositories)): string {
    return `org-${index % organisations}/${words[index % words.length]}-${index}`
  }

  branch(): string {
    const kind = this.below(10)
    if (kind < 4) return 'main'
    if (kind < 6) return `release/${this.below(20)}.${this.below(30)}`
    return `${this.pick(['feature', 'fix', 'wip', 'deps'])}/${this.pick(words)}-${this.below(2000)}`
  }

  hex(length: number): string {
    return Array.from({ length }, () => this.below(16).toString(16)).join('')
  }

  text(count: number): string {
    return Array.from({ length: count }, () => this.pick(words)).join(' ')
  }

  user(): Record<string, unknown> {
    const id = this.skewed(people)
    const login = id === 7 ? 'renovate-bot' : `user-${id}`
    return {
      id,
      login,
      login_name: '',
      source_id: 0,
      full_name: `User Number ${id}`,
      email: `${login}@noreply.forge.example`,
      avatar_url: `https://forge.example/avatars/${this.hex(32)}`,
      html_url: `https://forge.example/${login}`,
      language: '',
      is_admin: false,
      last_login: '0001-01-01T00:00:00Z',
      created: '2024-05-11T16:14:22+09:00',
      restricted: false,
      active: true,
      prohibit_login: false,
      location: '',
      pronouns: '',
      website: '',
      description: '',
      visibility: 'public',
      followers_count: this.below(50),
      following_count: 0,
      starred_repos_count: this.below(20),
      username: login,
    }
  }

  repositoryObject(full_name: string): Record<string, unknown> {
    const [, name] = full_name.split('/')
    const url = `https://forge.example/${full_name}`
    const address = `10.${this.below(256)}.${this.below(256)}.${this.below(256)}`
    return {
      id: this.below(100_000),
      owner: this.user(),
      name,
      full_name,
      description: this.text(8),
      empty: false,
      private: this.below(4) === 0,
      fork: false,
      template: false,
      mirror: false,
      size: this.below(100_000),
      language: this.pick(['TypeScript', 'Go', 'Rust', 'Python']),
      languages_url: `${url}/languages`,
      html_url: url,
      url,
      link: '',
      ssh_url: `git@forge.example:${full_name}.git`,
      clone_url: `${url}.git`,
      original_url: '',
      website: '',
      mirror_address: address,
      stars_count: this.below(1000),
      forks_count: this.below(40),
      watchers_count: this.below(60),
      open_issues_count: this.below(300),
      open_pr_counter: this.below(20),
      release_counter: this.below(90),
      default_branch: 'main',
      archived: false,
      created_at: '2024-03-09T16:14:29+09:00',
      updated_at: '2026-03-09T16:14:29+09:00',
      permissions: { admin: false, push: false, pull: true },
      has_issues: true,
      internal_tracker: {
        enable_time_tracker: true,
        allow_only_contributors_to_track_time: true,
        enable_issue_dependencies: true,
      },
      has_wiki: true,
      has_pull_requests: true,
      has_projects: true,
      ignore_whitespace_conflicts: false,
      allow_merge_commits: true,
      default_merge_style: 'merge',
      topics: null,
    }
  }

  commit(): Record<string, unknown> {
    const { login, email, full_name } = this.user()
    const id = this.hex(40)
    return {
      id,
      message: `${this.text(6)}\n\n${this.text(10)}\n`,
      url: `https://forge.example/commit/${id}`,
      author: { name: full_name, email, username: login },
      committer: { name: full_name, email, username: login },
      verification: null,
      timestamp: '2026-03-09T07:45:10Z',
      added: [`src/${this.pick(words)}/${this.pick(words)}.ts`],
      removed: [],
      modified: [`docs/${this.pick(words)}.md`, `src/${this.pick(words)}.ts`],
    }
  }

  issue(full_name: string): Record<string, unknown> {
    const number = this.below(5000)
    return {
      id: this.below(1_000_000),
      url: `https://forge.example/${full_name}/issues/${number}`,
      number,
      user: this.user(),
      title: this.text(5),
      body: this.text(this.below(100)),
      labels: Array.from({ length: this.below(4) }, (_, id) => ({
        id,
        name: this.pick(labels),
        exclusive: false,
        color: '207de5',
        description: '',
        url: '',
      })),
      milestone: null,
      assignee: null,
      state: this.pick(['open', 'closed']),
      is_locked: false,
      comments: this.below(100),
      created_at: '2026-03-09T16:26:02+09:00',
      due_date: null,
      pull_request: null,
    }
  }

  /** An event: its type, and its payload as the bytes that Forgejo would send. */
  event(): { type: string; payload: Record<string, unknown> } {
    const full_name = this.repository()
    const repository = this.repositoryObject(full_name)
    const sender = this.user()
    const type = this.pick(['push', 'pull_request', 'issues', 'issue_comment', 'release'])
    switch (type) {
      case 'push': {
        const commits = Array.from({ length: 1 + this.below(5) }, () => this.commit())
        return {
          type,
          payload: {
            ref: `refs/heads/${this.branch()}`,
            before: this.hex(40),
            after: this.hex(40),
            compare_url: `https://forge.example/${full_name}/compare`,
            commits,
            total_commits: commits.length,
            head_commit: commits[0],
            repository,
            pusher: sender,
            sender,
          },
        }
      }
      case 'pull_request': {
        const number = this.below(5000)
        const base = { label: 'main', ref: 'main', sha: this.hex(40), repo_id: 1, repo: repository }
        const branch = this.branch()
        const head = { label: branch, ref: branch, sha: this.hex(40), repo_id: 1 }
        const pull_request = {
          ...this.issue(full_name),
          number,
          mergeable: true,
          merged: false,
          draft: this.below(5) === 0,
          base,
          head,
        }
        return {
          type,
          payload: {
            action: this.pick(['opened', 'closed', 'synchronized', 'reopened']),
            number,
            pull_request,
            repository,
            sender,
          },
        }
      }
      case 'release': {
        const tag = `v${this.below(9)}.${this.below(30)}.${this.below(10)}`
        const release = {
          id: 1,
          tag_name: tag,
          target_commitish: 'main',
          name: tag,
          body: this.text(80),
          draft: false,
          prerelease: this.below(3) === 0,
          author: sender,
        }
        return { type, payload: { action: 'published', release, repository, sender } }
      }
      default: {
        const issue = this.issue(full_name)
        const comment = {
          id: this.below(1e6),
          user: sender,
          body: this.text(40),
          created_at: '2026-03-09T16:26:02+09:00',
        }
        return {
          type,
          payload: {
            action: 'created',
            issue,
            ...(type === 'issue_comment' ? { comment } : {}),
            repository,
            sender,
          },
        }
      }
    }
  }

  /** type, repository, branch: exact and prefix. */
  simple(index: number): Record<string, unknown> {
    const type = this.pick(['push', 'pull_request', 'issues', 'release'])
    const payload: Record<string, unknown> = {
      repository: { full_name: [this.repository(this.below(repositories))] },
    }
    if (type === 'push')
      payload.ref =
        index % 2 === 0
          ? ['refs/heads/main']
          : [{ prefix: `refs/heads/${this.pick(['release', 'feature', 'fix'])}/` }]
    return { type: [type], payload }
  }

  /** All operators, in turn. */
  mixed(index: number): Record<string, unknown> {
    return mixedKinds[index % mixedKinds.length]!(this, this.repository(this.below(repositories)))
  }
}

const mixedKinds: ((forge: Forge, full_name: string) => Record<string, unknown>)[] = [
  (_, full_name) => ({
    type: ['push'],
    payload: { ref: ['refs/heads/main'], repository: { full_name: [full_name] } },
  }),
  (forge, full_name) => ({
    type: ['push'],
    payload: {
      ref: [{ prefix: `refs/heads/release/${forge.below(20)}.` }],
      repository: { full_name: [full_name, forge.repository()] },
    },
  }),
  forge => ({
    type: ['pull_request'],
    payload: {
      action: ['opened', 'reopened'],
      pull_request: { head: { ref: [{ wildcard: `deps/*-${forge.below(20_000)}` }] } },
    },
  }),
  (_, full_name) => ({
    type: ['issues'],
    payload: {
      issue: { labels: { name: ['security', 'bug'] } },
      repository: { full_name: [{ 'equals-ignore-case': full_name.toUpperCase() }] },
    },
  }),
  forge => ({
    payload: { repository: { full_name: [{ suffix: `-${forge.below(repositories)}` }], private: [true] } },
  }),
  (forge, full_name) => ({
    type: ['pull_request'],
    payload: {
      number: [{ numeric: ['>=', forge.below(5000), '<', 5000] }],
      repository: { full_name: [full_name] },
    },
  }),
  forge => {
    const from = forge.below(100_000)
    return {
      payload: {
        repository: { size: [{ numeric: ['>', from, '<', from + 2] }] },
        sender: { login: [{ 'anything-but': 'renovate-bot' }] },
      },
    }
  },
  (forge, full_name) => ({
    payload: {
      commits: {
        author: { username: [`user-${forge.below(people)}`] },
        modified: [`src/${forge.pick(words)}.ts`],
      },
      repository: { full_name: [full_name] },
    },
  }),
  forge => ({
    payload: {
      repository: { mirror_address: [{ cidr: `10.${forge.below(256)}.${forge.below(256)}.0/24` }] },
    },
  }),
  (forge, full_name) => ({
    type: ['release'],
    payload: {
      release: { tag_name: [{ wildcard: `v*.${forge.below(30)}.*` }] },
      repository: {
        full_name: [{ prefix: `${full_name.split('/')[0]}/${forge.pick(words)}-${forge.below(1000)}` }],
      },
    },
  }),
  forge => ({
    type: ['issue_comment'],
    payload: {
      comment: { body: [{ wildcard: `*/${forge.pick(words)}-${forge.below(100_000)}*` }] },
      issue: { pull_request: [{ exists: false }] },
    },
  }),
  (forge, full_name) => ({
    type: ['push', 'release'],
    $or: [
      { payload: { repository: { full_name: [full_name] }, ref: ['refs/heads/main'] } },
      {
        payload: {
          release: { tag_name: [`v${forge.below(9)}.${forge.below(30)}.${forge.below(10)}`] },
          repository: { owner: { id: [forge.below(people)] } },
        },
      },
    ],
  }),
  forge => ({
    payload: {
      sender: { login: [`user-${forge.below(people)}`] },
      action: [{ 'anything-but': ['closed', 'created'] }],
      repository: { id: [{ numeric: ['=', forge.below(100_000)] }] },
    },
  }),
  (forge, full_name) => ({
    subject: [full_name],
    payload: {
      issue: {
        milestone: [{ exists: false }, null],
        number: [{ numeric: ['<', forge.below(5000)] }],
        title: [{ 'anything-but': { prefix: ['wip', 'draft'] } }],
      },
    },
  }),
]
