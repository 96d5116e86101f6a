// How a command ends that was not done.

/** A command was given something that it cannot use: exit code 64. */
export class UsageError extends Error {}

/** The command's answer is no: exit code 1. */
export class NoError extends Error {}
