# JSON-RPC 2.0, section 7: the examples of the specification, with methods of this contract.

# rpc call with named parameters
>> {"jsonrpc": "2.0", "method": "source.get", "params": {"source_id": "spare"}, "id": 3}
<< {"jsonrpc": "2.0", "result": {"source": {"*": 1}}, "id": 3}

# rpc call with positional parameters
>> {"jsonrpc": "2.0", "method": "source.get", "params": ["spare"], "id": 1}
<< {"jsonrpc": "2.0", "result": {"source": {"*": 1}}, "id": 1}

# a notification, and one of a method that does not exist
>> {"jsonrpc": "2.0", "method": "event.query", "params": {"limit": 5}}
>> {"jsonrpc": "2.0", "method": "foobar"}

# rpc call of non-existent method
>> {"jsonrpc": "2.0", "method": "foobar", "id": "1"}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}

# rpc call with invalid JSON
>> {"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]
<< {"jsonrpc": "2.0", "error": {"code": -32700, "message": "*"}, "id": null}

# rpc call with invalid request object
>> {"jsonrpc": "2.0", "method": 1, "params": "bar"}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}

# rpc call batch, invalid JSON
>> [{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]
<< {"jsonrpc": "2.0", "error": {"code": -32700, "message": "*"}, "id": null}

# rpc call with an empty array
>> []
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}

# rpc call with an invalid batch, but not empty
>> [1]
<< [{"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}]

# rpc call with invalid batch
>> [1,2,3]
<< [{"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}, {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}, {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}]

# rpc call batch
>> [{"jsonrpc": "2.0", "method": "source.get", "params": ["spare"], "id": "1"}, {"jsonrpc": "2.0", "method": "event.query", "params": []}, {"jsonrpc": "2.0", "method": "trigger.get", "params": ["nothing"], "id": "2"}, {"foo": "boo"}, {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"}, {"jsonrpc": "2.0", "method": "event.query", "params": {"type": "none"}, "id": "9"}]
<< [{"jsonrpc": "2.0", "result": {"source": {"*": 1}}, "id": "1"}, {"jsonrpc": "2.0", "error": {"code": -32002, "message": "there is no trigger nothing; trigger.list shows what there is", "data": {"code": "E_NOT_FOUND"}}, "id": "2"}, {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}, {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": "5"}, {"jsonrpc": "2.0", "result": {"events": []}, "id": "9"}]

# rpc call batch, all notifications
>> [{"jsonrpc": "2.0", "method": "event.query", "params": {}}, {"jsonrpc": "2.0", "method": "foobar"}]
