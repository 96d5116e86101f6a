# What may be taken for a request and is none, and what is one in an odd shape.

# one-element batches are answered by arrays
>> [null]
<< [{"jsonrpc": "2.0", "error": {"code": -32600, "message": "a request is a JSON object"}, "id": null}]
>> [{"jsonrpc": "2.0", "method": "event.query", "params": {"type": "none"}, "id": 1}]
<< [{"jsonrpc": "2.0", "result": {"events": []}, "id": 1}]
>> [[]]
<< [{"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}]

# valid JSON that is no request
>> null
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}
>> 0
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}
>> ""
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}
>> false
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}
>> {}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "jsonrpc must be \"2.0\""}, "id": null}

# the version and the method
>> {"jsonrpc": "1.0", "method": "rpc.health", "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": 1}
>> {"jsonrpc": 2, "method": "rpc.health", "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": 1}
>> {"method": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}
>> {"jsonrpc": "2.0", "method": null, "id": 7}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "method must be a string"}, "id": 7}
>> {"jsonrpc": "2.0", "id": 8}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": 8}

# primitive params
>> {"jsonrpc": "2.0", "method": "rpc.health", "params": "bar", "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": 1}
>> {"jsonrpc": "2.0", "method": "rpc.health", "params": 5, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": 1}
>> {"jsonrpc": "2.0", "method": "rpc.health", "params": null, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": 1}
>> {"jsonrpc": "2.0", "method": "rpc.health", "params": true}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}

# no params, none by position, too many by position
>> {"jsonrpc": "2.0", "method": "source.list", "id": 1}
<< {"jsonrpc": "2.0", "result": {"*": 1}, "id": 1}
>> {"jsonrpc": "2.0", "method": "source.list", "params": [], "id": 1}
<< {"jsonrpc": "2.0", "result": {"*": 1}, "id": 1}
>> {"jsonrpc": "2.0", "method": "source.get", "params": ["spare", 1], "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "at most 1 params by position (source_id); found 2", "data": {"code": "E_INVALID_PARAMS"}}, "id": 1}

# odd ids
>> {"jsonrpc": "2.0", "method": "foobar", "id": true}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "id must be a string, a number or null"}, "id": null}
>> {"jsonrpc": "2.0", "method": "foobar", "id": {}}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}
>> {"jsonrpc": "2.0", "method": "foobar", "id": [1]}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "*"}, "id": null}
>> {"jsonrpc": "2.0", "method": "foobar", "id": null}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": null}
>> {"jsonrpc": "2.0", "method": "foobar", "id": ""}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": ""}
>> {"jsonrpc": "2.0", "method": "foobar", "id": -1}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": -1}
>> {"jsonrpc": "2.0", "method": "foobar", "id": "\u0000 日本"}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": "\u0000 日本"}

# ids that a double cannot hold come back as they were written
>> {"jsonrpc": "2.0", "method": "foobar", "id": 9007199254740993}
<< ={"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":9007199254740993}
>> [{"jsonrpc": "2.0", "method": "foobar", "id": 1}, {"jsonrpc": "2.0", "method": "foobar", "id": 123456789012345678901234567890}]
<< =[{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}},{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":123456789012345678901234567890}]
>> {"jsonrpc": "2.0", "method": "foobar", "id": 1.5}
<< ={"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1.5}

# a byte order mark is not JSON, nor are bytes that are not UTF-8
>> \xef\xbb\xbf{"jsonrpc": "2.0", "method": "rpc.health", "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32700, "message": "*"}, "id": null}
>> {"jsonrpc": "2.0", "method": "\xff", "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32700, "message": "*"}, "id": null}

# names of prototypes are no methods
>> {"jsonrpc": "2.0", "method": "__proto__", "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": 1}
>> {"jsonrpc": "2.0", "method": "toString", "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": 1}
>> {"jsonrpc": "2.0", "method": "constructor", "params": {"__proto__": {"x": 1}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32601, "message": "*"}, "id": 1}
>> {"jsonrpc": "2.0", "method": "source.get", "params": {"__proto__": {"source_id": "spare"}}, "id": 1}
<< {"jsonrpc": "2.0", "error": {"code": -32602, "message": "*", "data": "*"}, "id": 1}

# too deep
>> {"jsonrpc": "2.0", "method": "event.emit", "params": {"payload": [text:70x[]}}
<< {"jsonrpc": "2.0", "error": {"code": -32600, "message": "JSON nests deeper than 64"}, "id": null}

# 51 requests are too many for one batch
>> [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
<< {"jsonrpc": "2.0", "error": {"code": -32004, "message": "a batch must hold at most 50 requests; found 51. Nothing of it was done: send it as several"}, "id": null}
