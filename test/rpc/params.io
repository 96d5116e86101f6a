# Wrong params: where, what was expected, what was found.
>> {"jsonrpc": "2.0", "method": "event.emit", "params": {"source_id": "spare", "type": "note"}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "payload is required; found nothing", "data": {"code": "E_INVALID_PARAMS", "path": "payload"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "event.emit", "params": {"source_id": "spare", "type": "", "payload": 1}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "type must have at least 1 character; found \"\"", "data": {"code": "E_INVALID_PARAMS", "path": "type"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "event.emit", "params": {"source_id": "spare", "type": "note", "payload": 1, "extra": 1}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "extra must be a known key (source_id, type, payload, subject, idempotency_key, time, headers, causation, context_files, deliver_at, actor, thread); found \"extra\"", "data": {"code": "E_INVALID_PARAMS", "path": "extra"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "event.emit", "params": {"source_id": "nowhere", "type": "note", "payload": 1}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32002, "message": "there is no source nowhere; source.list shows what there is", "data": {"code": "E_NOT_FOUND"}}, "id": 1}

# sources
>> {"jsonrpc": "2.0", "method": "source.put", "params": {"source": {"id": "x", "source_type": "webhok"}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "source.source_type must be one of webhook, cron, poll, watch, service, osis_change, dispatch, manual; found \"webhok\"; did you mean \"webhook\"?", "data": {"code": "E_INVALID_PARAMS", "path": "source.source_type"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "source.put", "params": {"source": {"id": "x", "source_type": "webhook", "config": {"provider": "forgejo"}}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "*", "data": {"code": "E_INVALID_PARAMS", "path": "source.config.secrets"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "source.put", "params": {"source": {"id": "Big", "source_type": "service"}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "*", "data": {"code": "E_INVALID_PARAMS", "path": "source.id"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "source.delete", "params": {"source_id": "forge"}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32009, "message": "3 triggers listen to source forge (always-fails, later, deploy-site); delete or change them first, or disable the source", "data": {"code": "E_CONFLICT"}}, "id": 1}

# stale versions
>> {"jsonrpc": "2.0", "method": "source.put", "params": {"source": {"id": "spare", "source_type": "manual"}, "version": 0}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32009, "message": "source spare is at version 1, the call expected that it did not exist; read it again and repeat the change", "data": {"code": "E_CONFLICT", "found": 1}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "bot.delete", "params": {"bot_id": "spare-bot", "version": 7}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32009, "message": "*", "data": {"code": "E_CONFLICT", "found": 1}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "trigger.put", "params": {"trigger": {"id": "deploy-site", "filter": {"type": ["x"]}, "action": {"bot_id": "deployer"}}, "version": 1}, "id": 1}
<< {"jsonrpc": "2.0", "result": {"trigger": {"*": 1}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "trigger.put", "params": {"trigger": {"id": "deploy-site", "filter": {"type": ["y"]}, "action": {"bot_id": "deployer"}}, "version": 1}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32009, "message": "trigger deploy-site is at version 2, the call expected version 1; read it again and repeat the change", "data": {"code": "E_CONFLICT", "found": 2}}, "id": 1}

# filters, bots and inputs of triggers
>> {"jsonrpc": "2.0", "method": "trigger.put", "params": {"trigger": {"id": "t", "filter": {"payload": {"ref": "main"}}, "action": {"bot_id": "deployer"}}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "trigger.filter.payload.ref is refused: must be a list of alternatives; found \"main\" (write [\"main\"])", "data": {"code": "E_INVALID_PARAMS", "path": "trigger.filter.payload.ref"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "trigger.put", "params": {"trigger": {"id": "t", "filter": {"type": ["x"]}, "action": {"bot_id": "nobody"}}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "trigger.action.bot_id must be the id of a stored bot; found \"nobody\"; write the bot first with bot.put", "data": {"code": "E_INVALID_PARAMS", "path": "trigger.action.bot_id"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "trigger.put", "params": {"trigger": {"id": "t", "filter": {"type": ["x"]}, "action": {"bot_id": "deployer", "inputs": {"a": {"b": "{{ $eval(payload) }}"}}}}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "trigger.action.inputs.a.b: in {{ $eval(payload) }}: $eval is not allowed: it would run text from the event", "data": {"code": "E_INVALID_PARAMS", "path": "trigger.action.inputs.a.b"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "bot.put", "params": {"bot": {"id": "b", "endpoint": {"kind": "command", "argv": ["echo", "{{ payload.x }}"]}}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "bot.endpoint.argv must be constants: the event comes on standard input; found a template or a NUL character", "data": {"code": "E_INVALID_PARAMS", "path": "bot.endpoint.argv"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "bot.put", "params": {"bot": {"id": "b", "endpoint": {"kind": "http", "url": "http://10.1.2.3/"}}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32011, "message": "*", "data": {"code": "E_EGRESS_BLOCKED", "path": "bot.endpoint.url"}}, "id": 1}

# runs in states that do not allow it
>> {"jsonrpc": "2.0", "method": "run.retry", "params": {"run_id": "01997f3e-5b00-7000-8000-0000000000a1"}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32013, "message": "*", "data": {"code": "E_INVALID_STATE", "state": "completed"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "run.cancel", "params": {"run_id": "01997f3e-5b00-7000-8000-0000000000a2"}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32013, "message": "*", "data": {"code": "E_INVALID_STATE", "state": "failed"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "run.discard", "params": {"run_id": "01997f3e-5b00-7000-8000-00000000dead"}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32002, "message": "*", "data": {"code": "E_NOT_FOUND"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "event.query", "params": {"cursor": "!!!"}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "*", "data": {"code": "E_INVALID_PARAMS", "path": "cursor"}}, "id": 1}

# a number is a number however it is spelled, where one is asked for; free values keep their digits
>> {"jsonrpc": "2.0", "method": "event.query", "params": {"limit": 1.00, "since": 4e12}, "id": 1}
<< {"jsonrpc": "2.0", "result": {"events": []}, "id": 1}
>> {"jsonrpc": "2.0", "method": "event.query", "params": [{"a": [1.0]}], "id": 1.0}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "*", "data": {"code": "E_INVALID_PARAMS", "path": "source_id"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "event.query", "params": {"limit": 813683310949021977}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "*", "data": {"code": "E_INVALID_PARAMS", "path": "limit"}}, "id": 1}
>> {"jsonrpc": "2.0", "method": "event.query", "params": {"source_id": 1.0}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "source_id must be a string; found 1", "data": {"code": "E_INVALID_PARAMS", "path": "source_id"}}, "id": 1}
>> 10.00
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "a request is a JSON object"}, "id": null}
>> [10.00]
<< [{"jsonrpc": "2.0", "error": {"code": -32600, "message": "a request is a JSON object"}, "id": null}]
