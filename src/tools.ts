// What the bot of a run may use: what its trigger allows, cut by what the bot may use at all and by what nobody may. Pure.

/** "shell" and "shell:ls" and "shell(ls)" are one family. */
function family(tool: string): string {
  return tool.split(/[:(]/)[0]!.trim().toLowerCase()
}

function holds(list: readonly string[], tool: string): boolean {
  const lower = tool.toLowerCase()
  return list.some(each => each.toLowerCase() === lower || each.toLowerCase() === family(tool))
}

/** undefined for allowed: the trigger says nothing; own undefined: the bot may use anything. */
export function permittedTools(allowed: readonly string[] | undefined, own: readonly string[] | undefined, denied: readonly string[]): string[] | undefined {
  return allowed?.filter(tool => !holds(denied, tool) && (own === undefined || holds(own, tool)))
}
