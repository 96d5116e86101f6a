// The tools that are denied by default, for commands that run without a router.
import { defaultDeniedTools } from '../config.ts'
import { ToolRules } from '../tools.ts'

export function defaultToolRules(): ToolRules {
  return new ToolRules({ denied_tools: defaultDeniedTools(), allowed_denied_tools: [] })
}
